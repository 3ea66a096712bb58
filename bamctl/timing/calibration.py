"""Calibration of a device profile, from published throughput or measurements on the device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bamctl.errors import InputError
from bamctl.networks import models
from bamctl.timing import _observations as observations
from bamctl.timing import setup as setups
from bamctl.timing._beliefs import NOISE, Belief
from bamctl.timing._kernels import Precision
from bamctl.timing._peaks import measured_hardware, seconds_of
from bamctl.timing.fitting import Error, Sample, fit, held_out_errors, summarize
from bamctl.timing.hardware import Hardware, MemoryFormat
from bamctl.timing.profiles import Profile
from bamctl.timing.setup import DTYPES, Setup
from bamctl.timing.spread import Spread, factor_of
from bamctl.timing.times import Progress, Times, family, kernels, published_times

# Two or more networks of a family with small and large members, and every kind of kernel.
NETWORKS = (
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "regnet_x_400mf",
    "regnet_y_800mf",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mnasnet1_0",
    "efficientnet_b0",
    "densenet121",
    "vgg11",
    "shufflenet_v2_x1_0",
    "convnext_tiny",
    "swin_t",
    "vit_b_16",
)
_SECONDS_FOR_EACH = 1.0


@dataclass(frozen=True)
class Calibration:
    """A profile, and the errors of its estimates for every network, in-sample and held out."""

    profile: Profile
    fitted: tuple[Error, ...]
    held_out: tuple[Error, ...]


def from_table(
    path: Path, name: str, hardware: Hardware | None = None, told: Progress = lambda text: None
) -> Calibration:
    """Fit a profile to published throughput.

    Args:
        path: a CSV file with the columns of an `Observation`; models by torchvision's names.
        name: the device in that file.
        hardware: the device's data sheet; that of the shipped profile of that name if left out.
        told: called with a line of progress.

    Raises:
        InputError: the file is invalid, lacks the device, or names a model that cannot be built.
        BamctlError: the networks are all of one family.
    """
    rows = observations.read(path, name)
    return _calibration(published_times(name, rows, path, {}, told, hardware), told)


def from_device(
    device: str,
    name: str,
    *,
    precision: Precision | None = None,
    memory_format: MemoryFormat = "contiguous",
    networks: Sequence[str] = NETWORKS,
    batch_sizes: Sequence[int] | None = None,
    seconds: float = _SECONDS_FOR_EACH,
    told: Progress = lambda text: None,
) -> Calibration:
    """Fit a profile to kernels and networks that are timed on a device.

    Args:
        device: `cpu`, `cuda`, `cuda:1`.
        name: the name of the profile.
        precision: that of the networks; fp32 on a CPU, autocast to fp16 elsewhere if left out.
        memory_format: that of images and weights.
        networks: torchvision's names, of at least two families.
        batch_sizes: for each network; 1 and 4 on a CPU, 1 and 64 elsewhere if left out.
        seconds: minimum time of each measurement.
        told: called with a line of progress.

    Raises:
        InputError: a network is unknown.
        BamctlError: the device is unavailable, a batch does not fit, or all are of one family.
    """
    on = setups.check_device(device)
    is_cpu = on.type == "cpu"
    precision = precision or ("fp32" if is_cpu else "amp_fp16")
    _check_families(networks)
    with setups.at_work_on(on):
        told("kernels")
        hardware = measured_hardware(on, precision, seconds)
        samples = [
            sample
            for network in networks
            for sample in _timed(
                network,
                on,
                precision,
                memory_format,
                batch_sizes or ((1, 4) if is_cpu else (1, 64)),
                seconds,
                told,
            )
        ]
    where = f"{setups.device_name(on)}, torch {torch.__version__}"
    source = f"{len(networks)} networks, timed on {where}"
    times = Times(name, hardware, precision, memory_format, tuple(samples), source)
    return _calibration(times, told)


def _calibration(times: Times, told: Progress) -> Calibration:
    told("fitting")
    found = fit(times.samples, times.hardware, times.memory_format)
    held_out = held_out_errors(
        times.samples,
        times.hardware,
        times.memory_format,
        lambda family: told(f"fitting without {family}"),
    )
    return calibration(times, found.belief, found.assumed, held_out)


def calibration(
    times: Times, belief: Belief, assumed: Sequence[str], held_out: Sequence[Error]
) -> Calibration:
    """Make a profile of what is believed of a device after its times were seen.

    Args:
        times: the times.
        belief: the coefficients.
        assumed: the coefficients that the times hardly determine.
        held_out: errors for families that were left out of the fit.
    """
    fitted = times.errors(times.samples, belief)
    found = belief.coefficients
    rounded = {k: float(f"{v:.4g}") for k, v in found.model_dump().items()}
    profile = Profile(
        name=times.name,
        precision=times.precision,
        memory_format=times.memory_format,
        hardware=times.hardware,
        coefficients=found.model_copy(update=rounded),
        assumed=list(assumed),
        source=times.source,
        num_networks=len({sample.model for sample in times.samples}),
        batch_sizes=sorted({sample.batch_size for sample in times.samples}),
        mean_error=round(float(np.mean([abs(each.error) for each in fitted])), 4),
        held_out=summarize(held_out),
        spread=Spread.of(belief.covariance, noise=NOISE, time_factor=_time_factor(held_out)),
    )
    return Calibration(profile, tuple(fitted), tuple(held_out))


def _time_factor(held_out: Sequence[Error]) -> float:
    """Return the factor of deviations with which 90 % of held-out times are in their intervals."""
    logs = np.log([each.estimated_seconds / each.measured_seconds for each in held_out])
    return factor_of(np.abs(logs) / NOISE)


def _timed(
    model: str,
    device: torch.device,
    precision: Precision,
    memory_format: MemoryFormat,
    batch_sizes: Sequence[int],
    seconds: float,
    told: Progress,
) -> Iterator[Sample]:
    given = models.default_inputs(model)
    dtype = {"fp16": "fp16", "bf16": "bf16"}.get(precision, "fp32")
    setup = Setup(device=str(device), dtype=dtype, memory_format=memory_format)  # type: ignore[arg-type]
    (network,) = setups.prepared([models.build(model)], given, setup)
    table = kernels(model, precision)
    for batch_size in batch_sizes:
        told(f"timing {model}, batch {batch_size}")
        once = setups.repeated(network, setups.arguments(network, given, batch_size, setup), setup)
        found = seconds_of(_under_autocast(once, device, precision), seconds)
        yield Sample(model, family(model), table, batch_size, found)


def _under_autocast(
    once: Callable[[], None], device: torch.device, precision: Precision
) -> Callable[[], None]:
    dtype = DTYPES.get(precision.removeprefix("amp_"))
    is_autocast = precision.startswith("amp")

    def run() -> None:
        with torch.autocast(device.type, dtype=dtype) if is_autocast else nullcontext():
            once()

    return run


def _check_families(networks: Sequence[str]) -> None:
    for network in networks:
        if models.check_name(network) not in models.names():
            raise InputError(f"{network!r} is not a torchvision network")
    if len(set(map(family, networks))) < 2:
        raise InputError("all networks are of one family; holding one out needs at least two")
