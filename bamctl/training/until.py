"""When to stop adding seeds to a comparison."""

from time import perf_counter
from typing import cast

import numpy as np
from accelerate.utils import broadcast_object_list

from bamctl.training.config import Until
from bamctl.training.result import Result


class Budget:
    """The limits of a comparison that adds seeds; its time starts here."""

    def __init__(self, until: Until, num_seeds: int) -> None:
        self._until, self._num_seeds = until, num_seeds
        self._looks = [perf_counter()]

    def reason_to_stop(self, result: Result) -> str | None:
        """Return why no further seed is begun, or None; all processes agree on it."""
        self._looks.append(perf_counter())
        (reason,) = broadcast_object_list([self._reason(result)])
        return cast("str | None", reason)

    def _reason(self, result: Result) -> str | None:
        seeds, left = len(result.config.seeds), sum(not c.is_settled for c in result.comparisons)
        if result.is_settled:
            return f"every comparison is settled after {seeds} seeds"
        still_open = f"{left} of {len(result.comparisons)} comparisons are not settled"
        if seeds >= self._until.max_seeds:
            return f"{still_open} after {seeds} seeds, the most that are allowed"
        limit = self._until.max_minutes
        if limit is not None and self._seconds_after_another() > 60 * limit:
            return (
                f"{still_open} after {seeds} seeds, and another does not fit in {limit:g} minutes"
            )
        return None

    def _seconds_after_another(self) -> float:
        began, first, *later = self._looks
        longest = max([(first - began) / self._num_seeds, *np.diff([first, *later])])
        return self._looks[-1] - began + float(longest)
