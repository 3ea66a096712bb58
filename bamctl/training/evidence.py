"""Paired statistics: tests of whether one arm of a comparison is better than another.

Each seed gives one pair of values, of two networks that share data order, augmentation and the
initial weights of their common layers. The tests are of the differences within the pairs.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt
from typing import Literal, TypeVar

import numpy as np
from scipy import optimize, special, stats

from bamctl.training.looks import Interval, Looks

Name = TypeVar("Name", str, tuple[str, str])
Verdict = Literal["helps", "hurts", "equivalent", "inconclusive"]

POWER = 0.8
# More pairs than anybody trains; a comparison that needs more is not advised to go on.
MOST_SEEDS = 100
_QUANTILES = 64


@dataclass(frozen=True)
class Evidence:
    """The evidence of paired runs, in the unit of the values that were compared.

    `interval` is the confidence interval of the mean difference at `confidence`, and holds at all
    looks together (see `looks`); `ci95` is that at 95 % for this comparison alone. `p_value` is
    the smallest level at which a look so far finds a difference. `spread` is the standard
    deviation of the differences, including rounding error. All four are None for a single pair,
    and an interval is also None where a look has too little level left to exclude anything.
    `first` is the number of pairs at the first look. With a `margin`, a difference that is
    smaller in either direction is `equivalent`.
    """

    deltas: tuple[float, ...]
    mean: float
    confidence: float
    first: int
    verdict: Verdict = "inconclusive"
    margin: float | None = None
    interval: Interval | None = None
    ci95: Interval | None = None
    p_value: float | None = None
    spread: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the comparison is conclusive."""
        return self.verdict != "inconclusive"

    @property
    def excluded(self) -> float | None:
        """The smallest difference that is excluded in both directions; None without an interval."""
        return None if self.interval is None else max(abs(end) for end in self.interval)

    @cached_property
    def detectable(self) -> float | None:
        """The minimum detectable effect: the true difference that is found with `POWER`.

        None where no look so far could find any.
        """
        if self.spread is None:
            return None
        pairs = sorted({self.first, len(self.deltas)})
        critical = Looks(self.first).critical(pairs, 1 - self.confidence)
        tests = [(n, c) for n, c in zip(pairs, critical.tolist(), strict=True) if c < inf]
        if not tests:
            return None
        return min(_detectable(n, c) for n, c in tests) * self.spread

    @cached_property
    def more_seeds(self) -> int | None:
        """The number of further pairs for a power of `POWER` at the observed difference.

        None if the comparison is conclusive, or if `MOST_SEEDS` pairs would not suffice.
        """
        if not self.spread or self.is_settled:
            return None
        if not self.mean and self.margin is None:
            return None
        counts = range(max(len(self.deltas) + 1, self.first), MOST_SEEDS + 1)
        # The power increases with the number of pairs.
        missing = bisect_left(counts, POWER, key=self._power)
        return counts[missing] - len(self.deltas) if missing < len(counts) else None

    def _power(self, pairs: int) -> float:
        """Return the probability that a look at a number of pairs settles the comparison."""
        assert self.spread
        critical = float(Looks(self.first).critical(pairs, 1 - self.confidence))
        effect = abs(self.mean) / self.spread
        if self.margin is None:
            return power(effect, pairs, critical)
        equivalent = equivalence_power(effect, self.margin / self.spread, pairs, critical)
        return max(power(effect, pairs, critical), equivalent)


def compare(
    pairs: Mapping[Name, tuple[Sequence[float], Sequence[float]]],
    *,
    first: int | None = None,
    resolution: float = 0.0,
    margin: float | None = None,
    confidence: float = 0.95,
    lower_is_better: bool = False,
) -> dict[Name, Evidence]:
    """Test several comparisons jointly, each of an arm with its baseline.

    The probability of any false claim is at most 1 - `confidence`, however often more pairs are
    added and the test is repeated (see `looks`), and for any number of comparisons: the levels are
    those of Holm's procedure (Holm, Scandinavian Journal of Statistics 1979), and Bonferroni's with
    a margin, since then the intervals make claims, too. The intervals use the same levels, so that
    one excludes zero exactly if the verdict is `helps` or `hurts`, or both that and `equivalent`.

    Args:
        pairs: values of the baseline and of the arm for each seed, by name of the comparison.
        first: the number of pairs at the first look, which the data must not have chosen; all
            pairs if left out, for a comparison that is looked at for the first time.
        resolution: the smallest difference of two values, such as one image in the held-out
            split. Pairs that agree more closely than that are no evidence of precision.
        margin: a difference smaller than this in either direction is shown to be `equivalent`.
        confidence: the joint confidence of all verdicts.
        lower_is_better: whether a negative difference helps, as for a loss.

    Raises:
        ValueError: the two sides of a comparison are of different length, or empty.

    >>> found = compare({"bottleneck": ([0.90, 0.91, 0.90], [0.95, 0.97, 0.95])})["bottleneck"]
    >>> found.verdict, round(found.mean, 3)
    ('helps', 0.053)
    """
    paths = {name: _Path.of(_deltas(*sides), first, resolution) for name, sides in pairs.items()}
    level = 1 - confidence
    if margin is None:
        levels = holm({name: path.p_value for name, path in paths.items()}, level)
    else:
        levels = dict.fromkeys(paths, level / max(len(paths), 1))
    better = -1 if lower_is_better else 1
    return {name: _judge(path, levels[name], margin, better) for name, path in paths.items()}


def power(effect: float, pairs: int, critical: float) -> float:
    """Return the power of a two-sided paired t test.

    Args:
        effect: the true difference, in standard deviations of the differences.
        pairs: number of pairs.
        critical: critical value of |t|.

    >>> round(power(0.0, 5, 2.776445), 6)
    0.05
    """
    df, shift = pairs - 1, effect * sqrt(pairs)
    # For effects far beyond the critical value, scipy's noncentral t overflows to NaN.
    above = 1 - np.nan_to_num(special.nctdtr(df, shift, critical), nan=0.0)
    below = np.nan_to_num(special.nctdtr(df, shift, -critical), nan=0.0)
    return float(above + below)


def equivalence_power(effect: float, margin: float, pairs: int, critical: float) -> float:
    """Return the probability that the interval of a mean lies within a margin around zero.

    Args:
        effect: the true difference, in standard deviations of the differences.
        margin: the margin, in the same unit.
        pairs: number of pairs.
        critical: half of the interval's length, in standard errors.
    """
    # The sample's standard deviation at the middle of equally probable slices.
    slices = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    spreads = np.sqrt(stats.chi2.ppf(slices, pairs - 1) / (pairs - 1))
    room = np.maximum(margin * sqrt(pairs) - critical * spreads, 0)
    shift = effect * sqrt(pairs)
    return float(np.mean(stats.norm.cdf(room - shift) - stats.norm.cdf(-room - shift)))


def _deltas(baseline: Sequence[float], arm: Sequence[float]) -> np.ndarray:
    if not baseline or len(baseline) != len(arm):
        raise ValueError(f"{len(baseline)} values cannot be paired with {len(arm)}")
    deltas: np.ndarray = np.asarray(arm, dtype=float) - np.asarray(baseline, dtype=float)
    return deltas


@dataclass(frozen=True)
class _Path:
    """Differences, and the means and standard errors of the first two, the first three, and so on.

    The rounding error of each of two values is uniform over one step of the resolution: a variance
    of 1/12 step squared. Without it, a few pairs that agree by chance would seem certain.
    """

    deltas: np.ndarray
    looks: Looks
    means: np.ndarray
    errors: np.ndarray

    @classmethod
    def of(cls, deltas: np.ndarray, first: int | None, resolution: float) -> "_Path":
        pairs = np.arange(1, len(deltas) + 1)
        means = deltas.cumsum() / pairs
        centred = deltas - deltas.mean()
        squares = (centred**2).cumsum() - centred.cumsum() ** 2 / pairs
        with np.errstate(invalid="ignore", divide="ignore"):
            variances = np.maximum(squares, 0) / (pairs - 1) + resolution**2 / 6
        errors = np.sqrt(variances / pairs)
        return cls(deltas, Looks(max(first or len(deltas), 2)), means[1:], errors[1:])

    @cached_property
    def p_value(self) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            # Equal values without any spread are no evidence of a difference.
            statistics = np.where(self.means == 0, 0.0, self.means / self.errors)
        return self.looks.p_value(statistics.tolist())

    @property
    def is_silent(self) -> bool:
        """Whether all pairs agree to the last bit, as of networks that have learned nothing."""
        return not self.deltas.any() and not self.errors[-1]

    def interval(self, level: float) -> Interval | None:
        if self.is_silent:
            return None
        found = self.looks.interval(self.means, self.errors, level)
        return found if found is not None and all(map(np.isfinite, found)) else None


def holm(p_values: Mapping[Name, float], level: float) -> dict[Name, float]:
    """Return the level of each test by Holm's procedure, which stops at the first not rejected."""
    levels: dict[Name, float] = {}
    stands_at = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        levels[name] = stands_at or level / (len(p_values) - rank)
        if p_values[name] > levels[name]:
            stands_at = levels[name]
    return levels


def _judge(path: _Path, level: float, margin: float | None, better: int) -> Evidence:
    mean, first = float(path.deltas.mean()), path.looks.first
    deltas = tuple(path.deltas.tolist())
    if len(deltas) == 1:
        return Evidence(deltas, mean, 1 - level, first, margin=margin)
    interval = path.interval(level)
    return Evidence(
        deltas=deltas,
        mean=mean,
        confidence=1 - level,
        first=first,
        verdict=verdict_of(interval, margin, better),
        margin=margin,
        interval=interval,
        ci95=path.interval(0.05),
        p_value=path.p_value,
        spread=None if path.is_silent else float(path.errors[-1]) * sqrt(len(deltas)),
    )


def verdict_of(interval: Interval | None, margin: float | None, better: int) -> Verdict:
    """Return the verdict of an interval of the difference.

    Args:
        interval: the interval, or None if nothing is excluded.
        margin: a difference smaller than this is equivalent, if given.
        better: 1 if a positive difference helps, else -1.
    """
    if interval is None:
        return "inconclusive"
    low, high = interval
    if margin is not None and -margin < low and high < margin:
        return "equivalent"
    if low > 0 or high < 0:
        return "helps" if low * better > 0 else "hurts"
    return "inconclusive"


def _detectable(pairs: int, critical: float) -> float:
    """Return the effect that is detected with `POWER`, in standard deviations."""

    def missing(effect: float) -> float:
        return power(effect, pairs, critical) - POWER

    most = 1.0
    while missing(most) < 0:
        most *= 2
    return float(optimize.brentq(missing, 0.0, most))
