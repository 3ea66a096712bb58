"""Known figures: published throughput of a network on a device, for a profile from a data sheet."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bamctl.errors import InputError
from bamctl.networks import models
from bamctl.timing._beliefs import NAMES, Belief, Stack, updated
from bamctl.timing._estimate import Device, KernelTable
from bamctl.timing.population import shipped_population
from bamctl.timing.profiles import KnownFigure, Profile
from bamctl.timing.spread import Spread
from bamctl.timing.times import kernels

_FORM = re.compile(r"(?P<model>[^@=]+)@(?P<batch>\d+)=(?P<rate>[0-9.eE+]+)")
# A published figure may be of other software; beyond this factor it is of another thing.
_FARTHEST = 4.0
# Products may run a little above the stated clock.
_ABOVE_PEAK = 1.2


def read_known(text: str) -> KnownFigure:
    """Read a figure such as `resnet50@256=2900`: images per second at a batch size.

    Raises:
        InputError: the text is no such figure, or the network is unknown.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"--known {text!r} is not MODEL@BATCH=IMAGES_PER_SECOND, as in resnet50@256=2900"
        )
    batch = int(match["batch"])
    try:
        rate = float(match["rate"])
    except ValueError:
        rate = 0.0
    if not batch or not 0 < rate < float("inf"):
        raise InputError(f"--known {text!r}: batch and images per second must be positive")
    models.check_name(match["model"])
    return KnownFigure(model=match["model"], batch_size=batch, images_per_second=rate)


@dataclass(frozen=True)
class _Timed:
    figure: KnownFigure
    table: KernelTable

    @property
    def seconds(self) -> float:
        return self.figure.batch_size / self.figure.images_per_second


def with_known(
    profile: Profile,
    figures: Sequence[KnownFigure],
    *,
    memory_gb: float | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> Profile:
    """Fit a profile to published figures of its device.

    Args:
        profile: a profile from a data sheet.
        figures: the figures, in the precision and memory format of the profile.
        memory_gb: the memory of the device in 10^9 bytes, if known.
        told: called with a line of progress.

    Raises:
        InputError: a network cannot be built, or a figure cannot be of this device.
    """
    if not figures:
        return profile
    device = Device(profile.hardware, profile.coefficients, profile.memory_format)
    timed = []
    for figure in figures:
        told(f"tracing {figure.model}")
        timed.append(_Timed(figure, kernels(figure.model, profile.precision)))
        _check(timed[-1], device, profile, memory_gb)
    stack = Stack(
        [each.table for each in timed],
        [each.figure.batch_size for each in timed],
        device,
        [each.seconds for each in timed],
    )
    found = updated(_belief(profile), stack)
    rounded = {k: float(f"{v:.4g}") for k, v in found.coefficients.model_dump().items()}
    assert profile.spread is not None
    spread = profile.spread.model_dump(exclude={"covariance"})
    return profile.model_copy(
        update={
            "coefficients": profile.coefficients.model_copy(update=rounded),
            "known": [*profile.known, *figures],
            "mean_error": round(shipped_population().one_known_error, 4),
            "spread": Spread.of(found.covariance, **spread),
        }
    )


def _belief(profile: Profile) -> Belief:
    if profile.spread is None:
        raise InputError(f"{profile.name} has no spread that a known figure could narrow")
    values = profile.coefficients.model_dump()
    return Belief(np.log([values[name] for name in NAMES]), profile.spread.matrix)


def _check(timed: _Timed, device: Device, profile: Profile, memory_gb: float | None) -> None:
    """Refuse a figure that the device cannot have reached, or that is far from the estimate."""
    figure, table = timed.figure, timed.table
    what = f"--known {figure.model}@{figure.batch_size}={figure.images_per_second:g}"
    peak = _ABOVE_PEAK * 1e12 * device.hardware.matrix_tflops / 2
    most = peak / max(float(table.macs.sum()), 1.0)
    if figure.images_per_second > most:
        raise InputError(
            f"{what} cannot be: at the peak of its data sheet, {profile.name} computes "
            f"{most:,.0f} images/s"
        )
    needed = float(table.activation_bytes.max()) * figure.batch_size
    if memory_gb is not None and needed > 1e9 * memory_gb:
        raise InputError(
            f"{what} cannot be: one layer of that batch moves {needed / 1e9:.0f} GB, and "
            f"{profile.name} has {memory_gb:g}"
        )
    estimate = figure.batch_size / float(table.seconds(device, figure.batch_size).sum())
    if not 1 / _FARTHEST < figure.images_per_second / estimate < _FARTHEST:
        raise InputError(
            f"{what} is far from the estimate of {estimate:,.0f} images/s ({profile.precision}, "
            f"{profile.memory_format}); is it images per second, for inference in that precision?"
        )
