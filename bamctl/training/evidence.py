"""Paired statistics: tests of whether one arm of a comparison is better than another.

Each seed gives one pair of accuracies, of two networks that share data order, augmentation and the
initial weights of their common layers. The tests are of the differences within the pairs.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Literal

import numpy as np
from scipy import optimize, stats

Verdict = Literal["helps", "hurts", "inconclusive"]

POWER = 0.8
_RESAMPLES = 4000
_MOST_SEEDS = 1000


@dataclass(frozen=True)
class Evidence:
    """The evidence of paired runs; accuracies and their differences are fractions.

    `interval` is the t interval of the mean difference at `confidence`; `ci95` is the 95 % t
    interval of this comparison alone. `p_value` is that of the two-sided paired t test. `spread`
    is the standard deviation of the differences, including rounding error. All four are None for a
    single pair.
    """

    deltas: tuple[float, ...]
    mean: float
    confidence: float
    verdict: Verdict = "inconclusive"
    interval: tuple[float, float] | None = None
    ci95: tuple[float, float] | None = None
    p_value: float | None = None
    spread: float | None = None

    @cached_property
    def bootstrap(self) -> tuple[float, float] | None:
        """The bootstrap percentile interval at `confidence`, over the pairs."""
        return None if self.spread is None else _bootstrap(self.deltas, self.confidence)

    @cached_property
    def detectable(self) -> float | None:
        """The minimum detectable effect: the true difference that the test finds with `POWER`."""
        if self.spread is None:
            return None
        return _detectable(len(self.deltas), 1 - self.confidence) * self.spread

    @cached_property
    def more_seeds(self) -> int | None:
        """The number of further pairs for a power of `POWER` at the observed difference.

        None if the comparison is conclusive, or if a thousand pairs would not suffice.
        """
        if self.spread is None or self.verdict != "inconclusive" or not self.mean:
            return None
        return _more_seeds(abs(self.mean) / self.spread, len(self.deltas), 1 - self.confidence)


def compare(
    pairs: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    resolution: float = 0.0,
    confidence: float = 0.95,
) -> dict[str, Evidence]:
    """Test several comparisons jointly, each of an arm with its baseline.

    The family-wise error rate is at most 1 - `confidence`: the levels are those of Holm's
    procedure (Holm, Scandinavian Journal of Statistics 1979), and the intervals use the same
    levels, so that an interval excludes zero exactly if the verdict is not `inconclusive`.

    Args:
        pairs: accuracies of the baseline and of the arm for each seed, by name of the comparison.
        resolution: the smallest difference of two accuracies, such as one image in the held-out
            split. Pairs that agree more closely than that are no evidence of precision.
        confidence: the joint confidence of all verdicts.

    Raises:
        ValueError: the two sides of a comparison are of different length, or empty.

    >>> found = compare({"bottleneck": ([0.90, 0.91, 0.90], [0.95, 0.97, 0.95])})["bottleneck"]
    >>> found.verdict, round(found.mean, 3)
    ('helps', 0.053)
    """
    deltas = {name: _deltas(*sides) for name, sides in pairs.items()}
    p_values = {name: _p_value(each, resolution) for name, each in deltas.items()}
    levels = _holm(p_values, 1 - confidence)
    return {name: _judge(deltas[name], resolution, levels[name]) for name in pairs}


def power(effect: float, pairs: int, level: float = 0.05) -> float:
    """Return the power of a two-sided paired t test.

    Args:
        effect: the true difference, in standard deviations of the differences.
        pairs: number of pairs.
        level: significance level.

    >>> round(power(0.0, 5), 6)
    0.05
    """
    df, shift = pairs - 1, effect * sqrt(pairs)
    critical = stats.t.isf(level / 2, df)
    above, below = stats.nct.sf(critical, df, shift), stats.nct.cdf(-critical, df, shift)
    # For effects far beyond the critical value, scipy's noncentral t overflows to NaN.
    return float(np.nan_to_num(above, nan=1.0) + np.nan_to_num(below, nan=0.0))


def _deltas(baseline: Sequence[float], arm: Sequence[float]) -> np.ndarray:
    if not baseline or len(baseline) != len(arm):
        raise ValueError(f"{len(baseline)} accuracies cannot be paired with {len(arm)}")
    deltas: np.ndarray = np.asarray(arm, dtype=float) - np.asarray(baseline, dtype=float)
    return deltas


def _spread(deltas: np.ndarray, resolution: float) -> float:
    """Return the standard deviation, with the variance of rounding to the resolution added.

    The rounding error of each of the two accuracies is uniform over one step: a variance of 1/12
    step squared. Without it, a few pairs that agree by chance would seem certain.
    """
    return sqrt(float(deltas.var(ddof=1)) + resolution**2 / 6)


def _p_value(deltas: np.ndarray, resolution: float) -> float:
    if len(deltas) == 1 or not deltas.any():
        return 1.0
    error = _spread(deltas, resolution) / sqrt(len(deltas))
    if error == 0:
        return 0.0
    return float(2 * stats.t.sf(abs(deltas.mean()) / error, len(deltas) - 1))


def _holm(p_values: Mapping[str, float], level: float) -> dict[str, float]:
    """Return the level of each test by Holm's procedure, which stops at the first not rejected."""
    levels: dict[str, float] = {}
    stands_at = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        levels[name] = stands_at or level / (len(p_values) - rank)
        if p_values[name] > levels[name]:
            stands_at = levels[name]
    return levels


def _judge(deltas: np.ndarray, resolution: float, level: float) -> Evidence:
    mean, pairs = float(deltas.mean()), len(deltas)
    if pairs == 1:
        return Evidence((mean,), mean, 1 - level)
    spread, p_value = _spread(deltas, resolution), _p_value(deltas, resolution)

    def interval(level: float) -> tuple[float, float]:
        half = float(stats.t.isf(level / 2, pairs - 1)) * spread / sqrt(pairs)
        return mean - half, mean + half

    verdict: Verdict = "inconclusive"
    if p_value <= level:
        verdict = "helps" if mean > 0 else "hurts"
    return Evidence(
        deltas=tuple(deltas.tolist()),
        mean=mean,
        confidence=1 - level,
        verdict=verdict,
        interval=interval(level),
        ci95=interval(0.05),
        p_value=p_value,
        spread=spread,
    )


def _bootstrap(deltas: Sequence[float], confidence: float) -> tuple[float, float]:
    found = stats.bootstrap(
        (deltas,),
        np.mean,
        confidence_level=confidence,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def _detectable(pairs: int, level: float) -> float:
    """Return the effect that is detected with `POWER`, in standard deviations."""

    def missing(effect: float) -> float:
        return power(effect, pairs, level) - POWER

    most = 1.0
    while missing(most) < 0:
        most *= 2
    return float(optimize.brentq(missing, 0.0, most))


def _more_seeds(effect: float, pairs: int, level: float) -> int | None:
    counts = range(pairs + 1, _MOST_SEEDS + 1)
    # The power increases with the number of pairs.
    missing = bisect_left(counts, POWER, key=lambda count: power(effect, count, level))
    return missing + 1 if missing < len(counts) else None
