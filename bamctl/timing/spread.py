"""The uncertainty of estimates, from that of the coefficients and the errors of held-out times."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from bamctl.timing.hardware import STRICT, Positive

# 90 % of a normal distribution lie within this many standard deviations.
REACH, _PART = 1.645, 0.9

Interval = tuple[float, float]


class Spread(BaseModel):
    """The uncertainty of a device's coefficients, and factors that make 90 % intervals hold.

    The factors are found on devices that were left out of the fit: 90 % of their times, and of
    the ratios of times within a family, are inside the intervals.
    """

    model_config = STRICT

    covariance: list[list[float]] = Field(
        description="of the logarithms of the coefficients: the lower triangle, row by row"
    )
    noise: Positive = Field(description="standard deviation of a network's own error, as a log")
    time_factor: Positive = 1.0
    ratio_factor: Positive = 1.0
    more: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="further deviation, of a precision of which no times were seen"
    )

    @classmethod
    def of(cls, covariance: np.ndarray, **others: float) -> "Spread":
        """Keep a covariance to four digits."""
        rows = [[_rounded(x) for x in row[: i + 1]] for i, row in enumerate(covariance.tolist())]
        return cls(covariance=rows, **others)

    @property
    def matrix(self) -> np.ndarray:
        """The covariance as a symmetric matrix."""
        lower = np.zeros((len(self.covariance),) * 2)
        for number, row in enumerate(self.covariance):
            lower[number, : number + 1] = row
        return lower + np.tril(lower, -1).T

    def time_interval(self, seconds: float, slopes: np.ndarray) -> Interval:
        """Return the 90 % interval of a time.

        Args:
            seconds: the estimate.
            slopes: derivatives of its logarithm in those of the coefficients.
        """
        variance = slopes @ self.matrix @ slopes + self.noise**2 + self.more**2
        return _interval(seconds, self.time_factor * float(np.sqrt(variance)))

    def ratio_interval(self, ratio: float, slopes: np.ndarray) -> Interval:
        """Return the 90 % interval of the time with added modules as a multiple of that without.

        What all times of a device are off by cancels. The network's own kernels are in both times;
        the error of the added ones, which are few and do not average out, is taken to be twice
        that of a network.
        """
        added = (1 - 1 / ratio) * np.hypot(self.noise, 2 * self.noise) if ratio > 1 else 0.0
        variance = max(slopes @ self.matrix @ slopes, 0.0) + added**2
        return _interval(ratio, self.ratio_factor * float(np.sqrt(variance)))


def factor_of(scores: Sequence[float] | np.ndarray) -> float:
    """Return the factor of deviations with which 90 % of errors are inside of their intervals.

    Args:
        scores: the errors, in standard deviations.
    """
    if not len(scores):
        return 1.0
    # Rounded up, so that the one that decides is inside.
    return float(np.ceil(1e4 * np.quantile(scores, _PART, method="higher") / REACH) / 1e4)


def _interval(value: float, deviation: float) -> Interval:
    reach = float(np.exp(REACH * deviation))
    return value / reach, value * reach


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
