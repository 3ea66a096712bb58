"""Racing: seeds for the candidates that the pairs so far do not rule out.

All candidates run with the same seeds, so that the differences of two of them do not depend on how
easy a seed is. A candidate that costs as much as another or more, and that the pairs show to be
less accurate, gets no more seeds; the others get one more each, until the steps are spent (racing:
Maron and Moore, NIPS 1993; Birattari et al., GECCO 2002). The verdicts of a search do not rest on
this: they are those of fresh seeds.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy import special

from bamctl.engines.engine import Engine
from bamctl.nas.records import Codes, Records

_LEVEL = 0.05


@dataclass(frozen=True)
class Standings:
    """Candidates after some seeds.

    `score` has shape (N, S): each of the candidates `codes`, with each of the seeds that all of
    them ran with. `costs` has shape (N, M): their objectives, minimized.
    """

    codes: tuple[Codes, ...]
    score: np.ndarray
    costs: np.ndarray
    resolution: float

    def is_better(self) -> np.ndarray:
        """Return where the pairs show row i to be more accurate than row j, with shape (N, N).

        By the residual variance of all candidates and seeds together, since two or three seeds
        say little about the variance of a single pair; the level is shared by all candidates.
        """
        count, seeds = self.score.shape
        if seeds < 2 or count < 2:
            return np.zeros((count, count), dtype=bool)
        means = self.score.mean(axis=1)
        left = self.score - means[:, None] - self.score.mean(axis=0) + means.mean()
        df = (count - 1) * (seeds - 1)
        variance = 2 * (left**2).sum() / df + self.resolution**2 / 6
        critical = -float(special.stdtrit(df, _LEVEL / (count - 1)))
        least = critical * sqrt(variance / seeds)
        return np.asarray(np.subtract.outer(means, means) > least)

    def is_cheaper(self) -> np.ndarray:
        """Return where row i costs no more than row j in any objective, with shape (N, N)."""
        return np.asarray(np.less_equal(self.costs[:, None], self.costs).all(axis=2))

    def is_ruled_out(self) -> np.ndarray:
        """Return which candidates cost no less than one that is shown to be more accurate."""
        return np.asarray((self.is_better() & self.is_cheaper()).any(axis=0))

    def is_open(self) -> bool:
        """Return whether more seeds could still rule a candidate out."""
        better, cheaper = self.is_better(), self.is_cheaper()
        np.fill_diagonal(cheaper, val=False)
        return bool((cheaper & ~better & ~better.T).any())

    def is_level(self) -> np.ndarray:
        """Return which candidates the pairs do not tell apart from the most accurate one."""
        best = int(self.score.mean(axis=1).argmax())
        return np.asarray(~self.is_better()[best])

    def keep(self, rows: np.ndarray) -> "Standings":
        """Return some of the candidates."""
        codes = tuple(each for each, kept in zip(self.codes, rows, strict=True) if kept)
        return replace(self, codes=codes, score=self.score[rows], costs=self.costs[rows])


@dataclass(frozen=True)
class Race:
    """The end of a race: the candidates that are left, and the scores of all."""

    standings: Standings
    scores: dict[Codes, tuple[float, ...]]


def race(
    start: Standings,
    records: Records,
    engine: Engine,
    *,
    seeds: Sequence[int],
    steps: int,
    steps_of_run: int,
    steps_of_seed: int = 0,
    deadline: float = math.inf,
) -> Race:
    """Give seeds to the candidates that may still be on the front, until the steps are spent.

    Args:
        start: the candidates, with the seeds that all of them have.
        records: the runs, which are not repeated.
        engine: runs the others.
        seeds: the seeds to add, in this order.
        steps: the most that all runs together may take.
        steps_of_run: the steps of one run.
        steps_of_seed: further steps of each seed, for its trunk.
        deadline: no seed is begun after this time of `time.monotonic`.

    Raises:
        BamctlError: a candidate cannot be trained, or the records cannot be written.
    """
    left, standings, scores = steps, start, _by_candidate(start)
    for seed in seeds:
        standings = standings.keep(~standings.is_ruled_out())
        left -= steps_of_seed + steps_of_run * len(standings.codes)
        if left < 0 or not standings.is_open() or time.monotonic() > deadline:
            break
        found = records.scores(((codes, seed) for codes in standings.codes), engine)
        column = [found[codes, seed] for codes in standings.codes]
        score = np.column_stack([standings.score, column])
        standings = replace(standings, score=score)
        scores |= _by_candidate(standings)
    return Race(standings.keep(~standings.is_ruled_out()), scores)


def _by_candidate(standings: Standings) -> dict[Codes, tuple[float, ...]]:
    rows = map(tuple, standings.score.tolist())
    return dict(zip(standings.codes, rows, strict=True))
