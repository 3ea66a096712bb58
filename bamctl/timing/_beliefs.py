"""What is believed of the coefficients of a device, and how measured times change it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bamctl.errors import BamctlError
from bamctl.timing._estimate import ASYNCHRONY, Device, KernelTable
from bamctl.timing.hardware import Coefficients

# Priors of the coefficients: median; the standard deviation of its logarithm; and that of the
# logarithms of devices around the median. The posterior moves away from them only where the data
# are informative.
PRIORS: dict[str, tuple[float, float, float]] = {
    "matmul": (1.1, 0.3, 0.16),
    "spatial": (1.0, 0.3, 0.16),
    "grouped": (1.0, 0.3, 0.16),
    "attention": (0.22, 0.3, 0.2),
    "depthwise": (0.4, 0.4, 0.16),
    "matmul_width": (64.0, 0.4, 0.24),
    "spatial_width": (24.0, 0.4, 0.24),
    "grouped_width": (32.0, 0.4, 0.24),
    "grouped_alignment": (1.0, 0.4, 0.24),
    "issue": (0.6, 0.5, 0.05),
    "watt_tflops": (1.0, 0.3, 0.1),
    "bandwidth": (0.85, 0.2, 0.08),
    "cache_speedup": (3.0, 0.4, 0.16),
    "layout": (0.8, 0.5, 0.3),
    "layout_pointwise": (0.2, 0.7, 0.3),
    "layout_depthwise": (0.2, 0.7, 0.3),
    "common": (1.0, 0.02, 0.08),
    "floor_us": (4.0, 0.5, 0.16),
    "launch_us": (10.0, 0.5, 0.24),
}
NAMES = tuple(PRIORS)
_MEDIANS = np.log([median for median, _, _ in PRIORS.values()])
_DOUBTS = np.array([doubt for _, doubt, _ in PRIORS.values()])
_SPREADS = np.array([spread for _, _, spread in PRIORS.values()])

# The error of a good estimate, as the standard deviation of its logarithm.
NOISE = 0.055
_STEP = 1e-4
_ROUNDS = 12
# The most that a logarithm moves in one round, and the least that calls for another.
_LARGEST, _SMALLEST = 0.5, 1e-3

Numbers = np.ndarray


@dataclass(frozen=True)
class Belief:
    """A normal distribution of the logarithms of coefficients, in the order of `NAMES`."""

    mean: Numbers
    covariance: Numbers

    @property
    def coefficients(self) -> Coefficients:
        """The medians."""
        return coefficients(self.mean)

    def deviation(self, slopes: Numbers) -> Numbers:
        """Return the standard deviations of quantities, from their slopes in the logarithms."""
        variances = np.einsum("ij,jk,ik->i", slopes, self.covariance, slopes)
        return np.asarray(np.sqrt(np.maximum(variances, 0)))


def coefficients(logs: Numbers) -> Coefficients:
    """Return the coefficients with these logarithms."""
    return Coefficients(**dict(zip(NAMES, np.exp(logs).tolist(), strict=True)))


def slopes(logs_of: Callable[[Coefficients], Numbers], at: Coefficients) -> tuple[Numbers, Numbers]:
    """Return logarithms of times, and their derivatives in the logarithms of the coefficients.

    With shape (times, coefficients). A coefficient that is zero has no logarithm, and no slope.
    """
    values = at.model_dump()
    here = np.asarray(logs_of(at))
    found = np.zeros((len(here), len(NAMES)))
    for number, name in enumerate(NAMES):
        if values[name]:
            moved = at.model_copy(update={name: values[name] * float(np.exp(_STEP))})
            found[:, number] = (np.asarray(logs_of(moved)) - here) / _STEP
    return here, found


def unknown_device() -> Belief:
    """Return what is believed of a device before any time was seen."""
    return Belief(_MEDIANS.copy(), np.diag(_DOUBTS**2 + _SPREADS**2))


class Stack:
    """Times of several networks on one device, as one table of their kernels.

    Equal kernels of a network are one row, with their number.
    """

    def __init__(
        self,
        tables: Sequence[KernelTable],
        batch_sizes: Sequence[int],
        device: Device,
        seconds: Sequence[float],
    ) -> None:
        counted = [Counter(table.kernels) for table in tables]
        self._table = KernelTable(kernel for each in counted for kernel in each)
        self._counts = np.array([n for each in counted for n in each.values()], dtype=float)
        self._owners = np.repeat(np.arange(len(tables)), [len(each) for each in counted])
        self._batches = np.array(batch_sizes, dtype=float)[self._owners]
        self._device = device
        self.logs = np.log(np.array(seconds, dtype=float))

    def __len__(self) -> int:
        return len(self.logs)

    def estimates(self, logs: Numbers) -> Numbers:
        """Return the logarithms of the estimated seconds of each network."""
        return self._estimates(coefficients(logs))

    def _estimates(self, found: Coefficients) -> Numbers:
        device = replace(self._device, coefficients=found)
        work = self._sums(self._table.work_seconds(device, self._batches) * self._counts)
        launches = self._sums(self._counts) * self._table.launch_seconds(device)
        return np.asarray(np.log(work**ASYNCHRONY + launches**ASYNCHRONY) / ASYNCHRONY)

    def slopes(self, logs: Numbers) -> tuple[Numbers, Numbers]:
        """Return the estimates, and their derivatives, with shape (networks, coefficients)."""
        return slopes(self._estimates, coefficients(logs))

    def _sums(self, values: Numbers) -> Numbers:
        return np.bincount(self._owners, weights=values, minlength=len(self.logs))


def updated(belief: Belief, stack: Stack) -> Belief:
    """Return what is believed of a device after its times were seen (Gauss-Newton).

    Raises:
        BamctlError: there is no solution.
    """
    precision = np.linalg.inv(belief.covariance)
    logs = belief.mean.copy()
    for _ in range(_ROUNDS):
        here, derived = stack.slopes(logs)
        _check(here)
        gain = precision + derived.T @ derived / NOISE**2
        misfit = stack.logs - here + derived @ logs
        wanted = np.linalg.solve(gain, precision @ belief.mean + derived.T @ misfit / NOISE**2)
        step = np.clip(wanted - logs, -_LARGEST, _LARGEST)
        logs = logs + step
        if np.abs(step).max() < _SMALLEST:
            break
    return Belief(logs, np.linalg.inv(gain))


def learnt(stacks: Mapping[str, Stack]) -> tuple[Belief, dict[str, Belief]]:
    """Learn the coefficients of several devices at once: of any further one, and of each.

    The logarithms of each device are spread around a common mean (Gelman and Hill, "Data Analysis
    Using Regression and Multilevel/Hierarchical Models", 2006, chapter 12); both are found
    together.

    Raises:
        BamctlError: there is no solution.
    """
    logs = {name: _MEDIANS.copy() for name in stacks}
    for _ in range(_ROUNDS):
        gain, aim = _equations(stacks, logs)
        found = np.linalg.solve(gain, aim).reshape(-1, len(NAMES))
        steps = {
            name: np.clip(new - logs[name], -_LARGEST, _LARGEST)
            for name, new in zip(logs, found[1:], strict=True)
        }
        logs = {name: logs[name] + step for name, step in steps.items()}
        if max(np.abs(step).max() for step in steps.values()) < _SMALLEST:
            break
    spread = np.linalg.inv(gain)
    common = Belief(found[0], _block(spread, 0) + np.diag(_SPREADS**2))
    return common, {n: Belief(logs[n], _block(spread, i)) for i, n in enumerate(logs, 1)}


def _equations(stacks: Mapping[str, Stack], logs: Mapping[str, Numbers]) -> tuple[Numbers, Numbers]:
    """Return the normal equations of the common mean, in front, and of all devices."""
    width, ties = len(NAMES), np.diag(_SPREADS**-2)
    gain = np.zeros((width * (1 + len(stacks)),) * 2)
    aim = np.zeros(len(gain))
    gain[:width, :width] = np.diag(_DOUBTS**-2) + len(stacks) * ties
    aim[:width] = _MEDIANS / _DOUBTS**2
    for number, (name, stack) in enumerate(stacks.items(), 1):
        own = slice(width * number, width * (number + 1))
        here, derived = stack.slopes(logs[name])
        _check(here)
        gain[own, own] = ties + derived.T @ derived / NOISE**2
        gain[:width, own] = gain[own, :width] = -ties
        aim[own] = derived.T @ (stack.logs - here + derived @ logs[name]) / NOISE**2
    return gain, aim


def _block(matrix: Numbers, number: int) -> Numbers:
    own = slice(len(NAMES) * number, len(NAMES) * (number + 1))
    return np.asarray(matrix[own, own])


def _check(estimates: Numbers) -> None:
    if not np.isfinite(estimates).all():
        raise BamctlError("no profile fits these times: estimates are not finite")
