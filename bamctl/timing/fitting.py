"""Fitting of a device profile to measured times, and the errors of its estimates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from bamctl.errors import BamctlError, InputError, first_line
from bamctl.timing._estimate import KernelTable
from bamctl.timing.profiles import Coefficients, Hardware, HeldOut

# Priors of the coefficients: median, and standard deviation of the logarithm. The posterior moves
# away from them only where the data are informative.
_PRIORS: dict[str, tuple[float, float]] = {
    "matmul": (1.1, 0.25),
    "spatial": (1.0, 0.25),
    "grouped": (0.9, 0.25),
    "attention": (0.3, 0.5),
    "depthwise": (0.2, 0.4),
    "matmul_width": (32.0, 0.7),
    "spatial_width": (16.0, 0.7),
    "grouped_width": (32.0, 0.7),
    "grouped_alignment": (0.7, 0.7),
    "bandwidth": (0.85, 0.15),
    "cache_speedup": (3.0, 0.4),
    "launch_us": (20.0, 0.5),
}
# A device below its peak, as under a power limit, slows down all products: these coefficients
# share one factor, with this prior, in addition to their own deviations.
_SHARING = ("matmul", "spatial", "grouped", "attention")
_SHARED = (0.9, 0.4)

# The expected error of a good estimate, as the standard deviation of the logarithm.
_NOISE = 0.06
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

    coefficients: Coefficients
    assumed: tuple[str, ...]


def fit(samples: Sequence[Sample], hardware: Hardware) -> Fit:
    """Fit the coefficients to samples, by relative errors.

    Least squares on the logarithms of times, with a normal prior on the logarithm of every
    coefficient, so that few networks suffice.

    Raises:
        BamctlError: there is no solution.
    """
    centers = np.log([center for center, _ in _PRIORS.values()])
    spreads = np.array([spread for _, spread in _PRIORS.values()])
    shares = np.array([name in _SHARING for name in _PRIORS], dtype=float)
    wanted = np.log([sample.seconds for sample in samples])

    def residuals(theta: np.ndarray) -> np.ndarray:
        logs, shared = theta[:-1], theta[-1]
        expected = centers + shares * shared
        found = [_seconds(sample, hardware, _coefficients(logs)) for sample in samples]
        misfits = (np.log(found) - wanted) / _NOISE
        doubts = [(logs - expected) / spreads, [(shared - np.log(_SHARED[0])) / _SHARED[1]]]
        return np.concatenate([misfits, *doubts])

    start = np.append(centers, np.log(_SHARED[0]))
    try:
        solution = least_squares(residuals, start)
    except ValueError as error:
        raise BamctlError(f"no profile fits these times: {first_line(error)}") from error
    variances = np.diag(np.linalg.inv(solution.jac.T @ solution.jac))[:-1]
    unmoved = np.sqrt(variances) > _UNMOVED * spreads
    names = tuple(name for name, is_so in zip(_PRIORS, unmoved, strict=True) if is_so)
    return Fit(_coefficients(solution.x[:-1]), names)


def errors(samples: Sequence[Sample], hardware: Hardware, found: Fit) -> list[Error]:
    """Return the error of the estimate of each sample."""
    return [
        Error(
            sample.model,
            sample.family,
            sample.batch_size,
            sample.seconds,
            _seconds(sample, hardware, found.coefficients),
        )
        for sample in samples
    ]


def held_out_errors(
    samples: Sequence[Sample],
    hardware: Hardware,
    done: Callable[[str], None] = lambda family: None,
) -> list[Error]:
    """Return the errors of leave-one-family-out cross-validation.

    Args:
        samples: measured times, of two families or more.
        hardware: the data sheet of their device.
        done: called with each family after its fold.

    Raises:
        InputError: all samples are of one family.
    """
    families = dict.fromkeys(sample.family for sample in samples)
    if len(families) < 2:
        raise InputError("all networks are of one family; holding one out needs at least two")
    found = []
    for family in families:
        rest = [sample for sample in samples if sample.family != family]
        left_out = [sample for sample in samples if sample.family == family]
        found += errors(left_out, hardware, fit(rest, hardware))
        done(family)
    return found


def summarize(found: Sequence[Error]) -> HeldOut:
    """Summarize the errors of held-out networks."""
    sizes = [abs(each.error) for each in found]
    families = {
        family: float(np.mean([abs(each.error) for each in found if each.family == family]))
        for family in sorted({each.family for each in found})
    }
    # Per image, since batch sizes differ.
    rank = spearmanr(
        [each.estimated_seconds / each.batch_size for each in found],
        [each.measured_seconds / each.batch_size for each in found],
    ).statistic
    return HeldOut(
        mean_error=round(float(np.mean(sizes)), 4),
        max_error=round(max(sizes), 4),
        rank_correlation=round(float(np.nan_to_num(rank)), 4),
        families={family: round(error, 4) for family, error in families.items()},
    )


def _coefficients(logs: np.ndarray) -> Coefficients:
    return Coefficients(**dict(zip(_PRIORS, np.exp(logs).tolist(), strict=True)))


def _seconds(sample: Sample, hardware: Hardware, coefficients: Coefficients) -> float:
    return float(sample.kernels.seconds(hardware, coefficients, sample.batch_size).sum())
