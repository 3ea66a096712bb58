"""Whether two searches with other seeds recommend the same, by racing from trunks and without.

    python -m tests.benchmarks.agreement [SEARCHES]

Real runs of the tests' small network on the digits, of every placement of one module at three
points. Without racing, each candidate has one run of all steps from scratch, and what is taken
is the most accurate; with it, the cheapest of what is level with the most accurate.
"""

import sys
import tempfile
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bamctl.engines.engine import LocalFile, Shared
from bamctl.nas.jobs import Job
from bamctl.nas.objective import Objective
from bamctl.nas.plan import plan
from bamctl.nas.race import Standings, race
from bamctl.nas.records import Codes, Records
from bamctl.nas.setup import SearchSetup
from bamctl.networks.trust import trust
from bamctl.training.shared_trunks import SharedTrunks

MODEL, STEPS = "tests.networks:Tiny", 120
SPACE = {
    "candidates": ["one", "two", "three"],
    "branches": ["both"],
    "combine": ["sum"],
    "dilation": [1],
    "reduction": [4],
}


@dataclass
class Here:
    """An engine that runs a job at once, in this process."""

    evaluate: Objective
    slots: int = 1

    def submit(self, job: Any) -> "Future[Any]":
        """Run a job."""
        found: Future[Any] = Future()
        found.set_result(self.evaluate(job))
        return found

    def share(self, file: Path) -> Shared:
        """Return the file."""
        return LocalFile(file)

    def close(self) -> None:
        """Nothing is held."""


def candidates(setup: SearchSetup) -> list[Codes]:
    """Return all candidates, the baseline first."""
    assert setup.costs.within is not None
    return sorted(map(tuple, setup.costs.within.tolist()))


def planned(start: str) -> SearchSetup:
    """Return the search, with every candidate."""
    return plan(MODEL, space=SPACE, data="digits", start=start, steps=STEPS, exhaustive=True)


def without(setup: SearchSetup, seed: int) -> Codes:
    """Return the most accurate candidate of one run of each from scratch."""
    evaluate = Objective(setup.config.training, setup.data)
    chosen = candidates(setup)
    accuracies = [
        evaluate(Job(setup.space.sites(codes), STEPS, (seed,))).score[0] for codes in chosen
    ]
    return chosen[int(np.argmax(accuracies))]


def raced(setup: SearchSetup, seed: int) -> Codes:
    """Return the cheapest candidate that is level with the best after a race of as many steps."""
    training, chosen = setup.config.training, candidates(setup)
    engine, trunk_steps = Here(Objective(training, setup.data)), training.trunk_steps
    of_run = STEPS - trunk_steps
    with tempfile.TemporaryDirectory() as folder:
        trunks = SharedTrunks(training, Path(folder), engine, print)
        records = Records(
            Path(folder) / "race.jsonl", setup.space, trunks, steps=STEPS, search={}, note=print
        )
        first = (seed, seed + 1)
        found = records.scores(((codes, s) for s in first for codes in chosen), engine)
        start = Standings(
            tuple(chosen),
            np.array([[found[codes, s] for s in first] for codes in chosen]),
            setup.costs.added(np.array(chosen))[:, :1],
            1 / len(setup.data.held_out),
        )
        left = STEPS * len(chosen) - 2 * (trunk_steps + of_run * len(chosen))
        last = race(
            start,
            records,
            engine,
            seeds=range(seed + 2, seed + 100),
            steps=left,
            steps_of_run=of_run,
            steps_of_seed=trunk_steps,
        ).standings
    level = last.keep(last.is_level())
    return level.codes[int(level.costs[:, 0].argmin())]


def agreement(found: list[Codes]) -> float:
    """Return the share of pairs that are the same."""
    pairs = list(combinations(found, 2))
    return sum(one == other for one, other in pairs) / len(pairs)


def main(searches: int = 12) -> None:
    """Print both shares."""
    torch.set_num_threads(1)
    trust(MODEL)
    for start, search in (("scratch", without), ("trunk", raced)):
        setup = planned(start)
        found = [search(setup, 1000 * number) for number in range(searches)]
        print(
            f"{start}: {len(candidates(setup))} candidates, {len(set(found))} different answers of "
            f"{searches} searches, {100 * agreement(found):.0f} % of pairs agree",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
