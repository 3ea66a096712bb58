"""What every benchmark gives: two sides that were measured in turn, and what their ratio may be."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import truediv


@dataclass(frozen=True)
class Ratio:
    """Ours and theirs, run by run; a ratio says more than either, since machines are shared.

    `limit` is what the ratio is to be at most, if anything was promised.
    """

    name: str
    unit: str
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    limit: float | None = None

    @property
    def value(self) -> float:
        """The median of the ratios of neighbouring runs."""
        return statistics.median(map(truediv, self.ours, self.theirs))

    def row(self) -> str:
        """A line of the table."""
        ours, theirs = map(statistics.median, (self.ours, self.theirs))
        unit = self.unit
        if unit == "s" and ours < 0.1:
            ours, theirs, unit = 1000 * ours, 1000 * theirs, "ms"
        limit = f"{self.limit:8.2f}" if self.limit is not None else " " * 8
        return f"{self.name:66}{ours:10.2f}{theirs:10.2f} {unit:4}{self.value:7.2f}{limit}".rstrip()


def in_turn(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    runs: int,
    limit: float | None = None,
    warm_ups: int = 2,
) -> Ratio:
    """Seconds of both sides, one after the other, after runs of each that warm them up."""
    found = Ratio(name, "s", limit=limit)
    for number in range(runs + warm_ups):
        # Whoever comes first finds the cache as the other left it, so they take turns in that too.
        sides = ((ours, found.ours), (theirs, found.theirs))
        for side, times in sides if number % 2 else reversed(sides):
            start = time.perf_counter()
            side()
            if number >= warm_ups:
                times.append(time.perf_counter() - start)
    return found
