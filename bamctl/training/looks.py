"""A paired t test that stays valid however often its data are looked at.

A t test holds its level at one number of pairs that was fixed beforehand. Repeated with more pairs
whenever it was inconclusive, it finds a difference of two equal networks in far more than 5 % of
the cases. Here a level is spent in two parts:

- `FIRST_SHARE` of it at the first look, as a plain t test, so that a comparison that is looked at
  once loses little: at any effect its power is at least that share of the t test's.
- The rest on all later numbers of pairs together, by the anytime-valid t test of Wang and Ramdas
  ("Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance",
  Sequential Analysis 2024; after Lai, Annals of Statistics 1976): the likelihood ratio of the t
  statistic under effects drawn from a normal distribution against no effect is a nonnegative
  martingale for any variance, so that by Ville's inequality it ever reaches K with a probability
  of at most 1/K.

Both hold for all numbers of pairs at once. So the data themselves may decide when to go on and
when to stop, and only the number of pairs at the first look has to be known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

Interval = tuple[float, float]

FIRST_SHARE = 0.85
# Effects, in standard deviations of the differences, are drawn with variance 1 / _PRECISION. One
# standard deviation is what short trainings may show with a practicable number of seeds.
_PRECISION = 1.0
# Below it a p-value is reported as zero.
_LOWEST_LOG_LEVEL = -200.0


@dataclass(frozen=True)
class Looks:
    """The sequential test of a comparison whose first look is at `first` pairs, two or more."""

    first: int

    def critical(self, pairs: ArrayLike, level: float) -> np.ndarray:
        """Return the critical value of |t| by number of pairs; infinite where none rejects.

        Args:
            pairs: numbers of pairs; before the first look nothing is rejected.
            level: significance level over all looks together.
        """
        n = np.asarray(pairs, dtype=float)
        threshold = self._log_threshold(log(level))
        # Solves _log_ratio(t, n) = threshold for t.
        shrunk = _PRECISION / (n + _PRECISION)
        growth = np.exp((2 * threshold - np.log(shrunk)) / n)
        with np.errstate(divide="ignore", invalid="ignore"):
            squared = np.where(growth * shrunk < 1, (growth - 1) / (1 - growth * shrunk), np.inf)
            later = np.sqrt(squared * (n - 1))
        at_first = _quantile(FIRST_SHARE * level / 2, self.first - 1)
        return np.where(n > self.first, later, np.where(n == self.first, at_first, np.inf))

    def p_value(self, statistics: Sequence[float]) -> float:
        """Return the smallest level that rejects at any of the looks so far.

        Args:
            statistics: the t statistic of the first two pairs, the first three, and so on.
        """
        t = np.abs(np.asarray(statistics, dtype=float))[self.first - 2 :]
        if not len(t):
            return 1.0
        at_first = 2 * _tail(t[0], self.first - 1) / FIRST_SHARE
        pairs = np.arange(self.first + 1, self.first + len(t))
        later = self._level_of(float(_log_ratio(t[1:], pairs).max(initial=-np.inf)))
        return min(at_first, later, 1.0)

    def interval(self, means: np.ndarray, errors: np.ndarray, level: float) -> Interval | None:
        """Return the confidence interval: the means that no look so far rejects.

        Args:
            means: the mean of the first two pairs, the first three, and so on.
            errors: the standard errors of these means.
            level: 1 minus the joint coverage at all looks.

        Returns:
            None before the first look. If the looks contradict each other, so that no mean is
            left, the interval of the last one.
        """
        pairs = np.arange(2, 2 + len(means))
        if pairs[-1] < self.first:
            return None
        critical = self.critical(pairs, level)
        # Without spread, too, an infinite critical value excludes nothing.
        halves = np.where(np.isinf(critical), np.inf, errors) * np.minimum(critical, 1e300)
        low, high = float((means - halves).max()), float((means + halves).min())
        if low > high:
            low, high = float(means[-1] - halves[-1]), float(means[-1] + halves[-1])
        return low, high

    def _log_threshold(self, log_level: float) -> float:
        """Return the log likelihood ratio that is reached after the first look at this level.

        Ville's inequality for the ratio from the first look on, on the event that the first look
        did not reject: under the drawn effects, t at the first look is a t variable that is wider
        by the effects' variance.
        """
        pairs, share = self.first, FIRST_SHARE * exp(log_level)
        wider = sqrt(1 + pairs / _PRECISION)
        passed = _quantile(share / 2, pairs - 1) / wider
        kept = 1 - 2 * _tail(passed, pairs - 1)
        return log(max(kept, 1e-300)) - log1p(-FIRST_SHARE) - log_level

    def _level_of(self, log_ratio: float) -> float:
        """Return the level at which a log likelihood ratio after the first look just rejects."""
        if self._log_threshold(0.0) >= log_ratio:
            return 1.0
        if self._log_threshold(_LOWEST_LOG_LEVEL) <= log_ratio:
            return 0.0
        return exp(
            optimize.brentq(
                lambda log_level: self._log_threshold(log_level) - log_ratio,
                _LOWEST_LOG_LEVEL,
                0.0,
            )
        )


def _log_ratio(t: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the log likelihood ratio of t statistics: drawn effects against none."""
    shrunk = _PRECISION / (pairs + _PRECISION)
    with np.errstate(invalid="ignore"):
        squared = t**2 / (pairs - 1)
        gained = np.log1p(squared) - np.log1p(shrunk * squared)
    # Its limit for values that are all alike.
    gained = np.where(np.isinf(t), -np.log(shrunk), gained)
    ratios: np.ndarray = np.log(shrunk) / 2 + pairs / 2 * gained
    return ratios


# Many times as fast as the same functions of `scipy.stats`, which check their arguments.
def _tail(t: float, df: int) -> float:
    """Return the upper tail of Student's t distribution."""
    return float(special.stdtr(df, -t))


def _quantile(tail: float, df: int) -> float:
    """Return the t value with this upper tail."""
    return -float(special.stdtrit(df, tail))
