"""Calibration of a device profile, from published throughput or measurements on the device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bamctl.errors import InputError
from bamctl.networks import models
from bamctl.networks.inputs import read
from bamctl.timing import _observations as observations
from bamctl.timing import setup as setups
from bamctl.timing._estimate import KernelTable
from bamctl.timing._kernels import Precision, lower
from bamctl.timing.fitting import Error, Sample, errors, fit, held_out_errors, summarize
from bamctl.timing.measure import benchmark
from bamctl.timing.profiles import Hardware, MemoryFormat, Profile, find, shipped_names
from bamctl.timing.setup import DTYPES, Setup
from bamctl.tracing.trace import trace

Progress = Callable[[str], None]

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
    hardware = hardware or _shipped_hardware(name)
    samples = []
    tables: dict[tuple[str, int], KernelTable] = {}
    for row in rows:
        told(f"tracing {row.model}")
        key = (row.model, row.input_size)
        if key not in tables:
            tables[key] = _kernels(row.model, row.precision, row.input_size)
        samples.append(
            Sample(row.model, _family(row.model), tables[key], row.batch_size, row.batch_seconds)
        )
    source = f"the published throughput of {len(rows)} networks ({path.name})"
    return _calibration(
        samples, hardware, name, rows[0].precision, rows[0].memory_format, source, told
    )


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
    return _calibration(samples, hardware, name, precision, memory_format, source, told)


def _calibration(
    samples: Sequence[Sample],
    hardware: Hardware,
    name: str,
    precision: Precision,
    memory_format: MemoryFormat,
    source: str,
    told: Progress,
) -> Calibration:
    told("fitting")
    found = fit(samples, hardware)
    fitted = errors(samples, hardware, found)
    held_out = held_out_errors(samples, hardware, lambda family: told(f"fitting without {family}"))
    rounded = {k: float(f"{v:.4g}") for k, v in found.coefficients.model_dump().items()}
    profile = Profile(
        name=name,
        precision=precision,
        memory_format=memory_format,
        hardware=hardware,
        coefficients=found.coefficients.model_copy(update=rounded),
        assumed=list(found.assumed),
        source=source,
        num_networks=len({sample.model for sample in samples}),
        batch_sizes=sorted({sample.batch_size for sample in samples}),
        mean_error=round(float(np.mean([abs(each.error) for each in fitted])), 4),
        held_out=summarize(held_out),
    )
    return Calibration(profile, tuple(fitted), tuple(held_out))


def _shipped_hardware(name: str) -> Hardware:
    if name in shipped_names():
        return find(name).hardware
    raise InputError(
        f"the hardware of {name!r} is unknown; add --matrix-tflops, --vector-tflops, "
        "--bandwidth-gbps and --cache-mb from its data sheet"
    )


def _kernels(model: str, precision: Precision, size: int | None = None) -> KernelTable:
    given = read((3, size, size)) if size else models.default_inputs(models.check_name(model))
    network = models.build(model, inputs=given, initialize=False)
    return KernelTable(lower(trace(network, given), precision).kernels)


def _family(model: str) -> str:
    """Return the architecture family of a network: the torchvision module that defines it."""
    import torchvision

    return str(torchvision.models.get_model_builder(model).__module__.rpartition(".")[2])


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
    table = _kernels(model, precision)
    for batch_size in batch_sizes:
        told(f"timing {model}, batch {batch_size}")
        once = setups.repeated(network, setups.arguments(network, given, batch_size, setup), setup)
        found = _seconds(_under_autocast(once, device, precision), seconds)
        yield Sample(model, _family(model), table, batch_size, found)


def _under_autocast(
    once: Callable[[], None], device: torch.device, precision: Precision
) -> Callable[[], None]:
    dtype = DTYPES.get(precision.removeprefix("amp_"))
    is_autocast = precision.startswith("amp")

    def run() -> None:
        with torch.autocast(device.type, dtype=dtype) if is_autocast else nullcontext():
            once()

    return run


def _seconds(call: Callable[[], object], at_least: float) -> float:
    timer = benchmark().Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    measured = timer.blocked_autorange(min_run_time=at_least)
    return float(measured.median)


def measured_hardware(device: torch.device, precision: Precision, seconds: float) -> Hardware:
    """Measure the peaks of a device by large matrix products and large copies.

    The size of the last-level cache is queried; 32 MB is assumed if it is not reported.
    """
    half = DTYPES.get(precision.removeprefix("amp_"), torch.float32)
    return Hardware(
        matrix_tflops=_tflops(device, half, seconds),
        vector_tflops=_tflops(device, torch.float32, seconds),
        bandwidth_gbps=_bandwidth_gbps(device, seconds),
        cache_mb=_cache_bytes(device) / 1e6,
    )


def _tflops(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    sides = (512, 1024, 2048) if device.type == "cpu" else (2048, 4096, 8192)
    rates = []
    for side in sides:
        a = torch.randn(side, side, device=device).to(dtype)
        result = torch.empty_like(a)
        taken = _seconds(partial(torch.mm, a, a, out=result), seconds)
        rates.append(2 * side**3 / taken / 1e12)
    return float(f"{max(rates):.4g}")


def _bandwidth_gbps(device: torch.device, seconds: float) -> float:
    # Larger than any last-level cache.
    source = torch.ones(2**28 if device.type != "cpu" else 2**26, device=device)
    target = torch.empty_like(source)
    taken = _seconds(partial(target.copy_, source), seconds)
    return float(f"{2 * source.nbytes / taken / 1e9:.4g}")


def _cache_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        properties: Any = torch.cuda.get_device_properties(device)
        return int(getattr(properties, "L2_cache_size", 0) or 32_000_000)
    path = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    try:
        return int(path.read_text(encoding="ascii").strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 32_000_000


def _check_families(networks: Sequence[str]) -> None:
    for network in networks:
        if models.check_name(network) not in models.names():
            raise InputError(f"{network!r} is not a torchvision network")
    if len(set(map(_family, networks))) < 2:
        raise InputError("all networks are of one family; holding one out needs at least two")
