"""Scales of drawings: where a value is along an axis, and the ticks of that axis."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10

from bamctl.report.chart import Axis

_STEPS = (1, 2, 2.5, 5, 10)
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: its position in percent, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high` with a tick at each multiple of `step`."""

    axis: Axis
    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """Return the position of a value along the axis, in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)

    @property
    def ticks(self) -> list[Tick]:
        """The ticks, from low to high."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + number * self.step for number in range(count + 1)]
        return [Tick(self.at(value), self._text(value)) for value in values]

    def _text(self, value: float) -> str:
        value = round(value, 12)
        if self.axis.is_percent:
            return f"{100 * value:.6g} %"
        for unit, name in _UNITS:
            if max(abs(self.low), abs(self.high)) >= 10 * unit:
                return f"{value / unit:.6g} {name}" if value else "0"
        return f"{value:,.6g}"


def scale(axis: Axis, values: Iterable[float], most: int = 5) -> Scale:
    """Return a scale that holds all values, and what its axis always includes.

    Args:
        axis: the axis.
        values: the values to draw.
        most: how many steps there may be.
    """
    known = [*values, *axis.includes]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if low == high:
        low, high = (min(low, 0.0), max(high, 0.0)) if low else (0.0, 1.0)
    step = _step((high - low) / most)
    # Rounding errors must not add a step.
    low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    return Scale(axis, low, high, step)


def _step(least: float) -> float:
    """Return the smallest step of 1, 2, 2.5 or 5 times a power of ten, at least `least`.

    >>> _step(0.3), _step(21), _step(2)
    (0.5, 25.0, 2.0)
    """
    power = 10.0 ** floor(log10(least))
    return next(each * power for each in _STEPS if each * power >= least * (1 - 1e-9))
