"""Fitting of a device profile to measured times, and the errors of its estimates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from bamctl.errors import InputError
from bamctl.timing._beliefs import NAMES, Belief, Stack, unknown_device, updated
from bamctl.timing._estimate import Device, KernelTable
from bamctl.timing.hardware import Coefficients, Hardware, MemoryFormat
from bamctl.timing.profiles import HeldOut

# A coefficient whose posterior deviation exceeds this part of its prior's is reported as assumed.
_UNMOVED = 0.8


@dataclass(frozen=True)
class Sample:
    """The measured time of a network, in seconds for one batch."""

    model: str
    family: str
    kernels: KernelTable
    batch_size: int
    seconds: float


@dataclass(frozen=True)
class Error:
    """The relative error of an estimate, as a fraction of the measured time."""

    model: str
    family: str
    batch_size: int
    measured_seconds: float
    estimated_seconds: float

    @property
    def error(self) -> float:
        """The relative error, positive for an overestimate."""
        return self.estimated_seconds / self.measured_seconds - 1


@dataclass(frozen=True)
class Fit:
    """Coefficients of a device; the samples hardly determine those in `assumed`."""

    belief: Belief
    assumed: tuple[str, ...]

    @property
    def coefficients(self) -> Coefficients:
        """The coefficients."""
        return self.belief.coefficients


def fit(samples: Sequence[Sample], hardware: Hardware, memory_format: MemoryFormat) -> Fit:
    """Fit the coefficients to samples, by relative errors.

    Least squares on the logarithms of times, with a normal prior on the logarithm of every
    coefficient, so that few networks suffice.

    Raises:
        BamctlError: there is no solution.
    """
    prior = unknown_device()
    belief = updated(prior, stacked(samples, hardware, memory_format))
    return Fit(belief, unmoved(belief, prior))


def unmoved(belief: Belief, prior: Belief) -> tuple[str, ...]:
    """Return the coefficients that are hardly better known than before."""
    now, before = (np.sqrt(np.diag(each.covariance)) for each in (belief, prior))
    return tuple(name for name, is_so in zip(NAMES, now > _UNMOVED * before, strict=True) if is_so)


def stacked(samples: Sequence[Sample], hardware: Hardware, memory_format: MemoryFormat) -> Stack:
    """Stack the kernels of samples of one device, with their times."""
    return Stack(
        [sample.kernels for sample in samples],
        [sample.batch_size for sample in samples],
        Device(hardware, unknown_device().coefficients, memory_format),
        [sample.seconds for sample in samples],
    )


def errors(
    samples: Sequence[Sample],
    hardware: Hardware,
    memory_format: MemoryFormat,
    belief: Belief,
) -> list[Error]:
    """Return the error of the estimate of each sample."""
    found = np.exp(stacked(samples, hardware, memory_format).estimates(belief.mean))
    return [
        Error(sample.model, sample.family, sample.batch_size, sample.seconds, float(seconds))
        for sample, seconds in zip(samples, found, strict=True)
    ]


def families(samples: Sequence[Sample]) -> list[str]:
    """Return the families of samples.

    Raises:
        InputError: all samples are of one family.
    """
    found = list(dict.fromkeys(sample.family for sample in samples))
    if len(found) < 2:
        raise InputError("all networks are of one family; holding one out needs at least two")
    return found


def held_out_errors(
    samples: Sequence[Sample],
    hardware: Hardware,
    memory_format: MemoryFormat,
    done: Callable[[str], None] = lambda family: None,
) -> list[Error]:
    """Return the errors of leave-one-family-out cross-validation.

    Args:
        samples: measured times, of two families or more.
        hardware: the data sheet of their device.
        memory_format: that of their maps.
        done: called with each family after its fold.

    Raises:
        InputError: all samples are of one family.
    """
    found = []
    for family in families(samples):
        rest = [sample for sample in samples if sample.family != family]
        left_out = [sample for sample in samples if sample.family == family]
        belief = fit(rest, hardware, memory_format).belief
        found += errors(left_out, hardware, memory_format, belief)
        done(family)
    return found


def summarize(found: Sequence[Error]) -> HeldOut:
    """Summarize the errors of held-out networks."""
    sizes = [abs(each.error) for each in found]
    of_families = {
        family: float(np.mean([abs(each.error) for each in found if each.family == family]))
        for family in sorted({each.family for each in found})
    }
    return HeldOut(
        mean_error=round(float(np.mean(sizes)), 4),
        max_error=round(max(sizes), 4),
        rank_correlation=round(rank_correlation(found), 4),
        families={family: round(error, 4) for family, error in of_families.items()},
    )


def rank_correlation(found: Sequence[Error]) -> float:
    """Return Spearman's correlation of estimated and measured times of an image.

    Per image, since batch sizes differ; 0 where it is undefined.
    """
    rank = spearmanr(
        [each.estimated_seconds / each.batch_size for each in found],
        [each.measured_seconds / each.batch_size for each in found],
    ).statistic
    return float(np.nan_to_num(rank))
