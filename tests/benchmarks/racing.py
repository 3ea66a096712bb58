"""What a search truly reaches for its steps: racing from trunks beside one noisy run of each.

    python -m tests.benchmarks.racing [REPEATS]

On the table of `tests/nas/table.py`, whose true accuracies are known. The noise of a run from
scratch is three times the spread of the true accuracies, as short trainings have it; from a trunk
it is a twelfth of that (both measured on Fashion-MNIST, see `bamctl help train`). The hypervolume
is that of the true accuracies of the front that a search ends with.
"""

import sys
import tempfile
import zlib
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median

import numpy as np
from optuna.trial import TrialState

from bamctl.nas._front import hypervolume, is_front
from bamctl.nas._trials import candidate
from bamctl.nas.jobs import Job, Outcome
from bamctl.nas.race import Standings, race
from bamctl.nas.records import Codes, Records
from bamctl.nas.run import Search
from tests.nas.table import Quiet, Scratch, Searched, true_accuracy

STEPS, TRUNK_STEPS = 50, 25
# The share of the steps for trials; the rest is raced with.
FIRST = 2 / 3
SHRUNK = 12


@dataclass
class Noisy:
    """An engine that looks accuracies up, and adds the noise of a run at once."""

    noise: float
    seed: int
    slots: int = 1

    def submit(self, job: Job) -> "Future[Outcome]":
        found: Future[Outcome] = Future()
        found.set_result(Outcome(tuple(self._accuracy(job, seed) for seed in job.seeds), 0, 0.0))
        return found

    def close(self) -> None:
        """Nothing is held."""

    def _accuracy(self, job: Job, seed: int) -> float:
        name = repr((sorted(site.point.module for site in job.sites), job.sites, seed, self.seed))
        drawn = np.random.default_rng(zlib.crc32(name.encode()))
        return float(true_accuracy(job.sites) + drawn.normal(0, self.noise))


@cache
def spread() -> float:
    """The standard deviation of the true accuracies of 500 candidates within the budget."""
    searched = Searched()
    rows = searched.costs.draw(500, np.random.default_rng(0))
    return float(np.std([true_accuracy(searched.space.sites(tuple(row))) for row in rows.tolist()]))


def noise() -> float:
    """The noise of a run from scratch: that of a difference is three times the spread."""
    return 3 * spread() / np.sqrt(2)


def proposed(searched: Searched, engine: Noisy) -> dict[Codes, list[float]]:
    """The candidates of a study and their accuracies, one for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        study = searched.study(f"sqlite:///{folder}/study.db")
        Search(searched.config, searched.space, study, engine, Quiet(), Scratch()).run()
        ended = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    found = {candidate(trial, searched.space): trial.user_attrs["accuracy"] for trial in ended}
    return {codes: accuracy for codes, accuracy in found.items() if codes is not None}


def standings(searched: Searched, found: dict[Codes, list[float]]) -> Standings:
    """Return candidates with their costs."""
    costs = searched.costs.added(np.array(list(found)))
    return Standings(tuple(found), np.array(list(found.values())), costs, 1 / 10_000)


def front(last: Standings) -> list[Codes]:
    """Return the candidates that no other dominates."""
    values = np.column_stack([-last.score.mean(axis=1), last.costs])
    return [codes for codes, kept in zip(last.codes, is_front(values), strict=True) if kept]


def plain(seed: int, steps: int) -> list[Codes]:
    """The front of one run from scratch of each candidate."""
    searched = Searched(changes={"trials": steps // STEPS, "seed": seed})
    return front(standings(searched, proposed(searched, Noisy(noise(), seed))))


def raced(seed: int, steps: int) -> list[Codes]:
    """The front after a race from trunks."""
    of_run = STEPS - TRUNK_STEPS
    trials = max(int(FIRST * steps - 2 * TRUNK_STEPS) // (2 * of_run), 3)
    searched = Searched(changes={"trials": trials, "seed": seed})
    searched.config.training.seeds[:] = [0, 1]
    engine = Noisy(noise() / SHRUNK, seed)
    start = standings(searched, proposed(searched, engine))
    with tempfile.TemporaryDirectory() as folder:
        records = Records(
            Path(folder) / "race.jsonl",
            searched.space,
            Scratch(),
            steps=STEPS,
            search={},
            note=print,
        )
        spent = 2 * (TRUNK_STEPS + of_run * trials)
        last = race(
            start,
            records,
            engine,
            seeds=range(2, 50),
            steps=steps - spent,
            steps_of_run=of_run,
            steps_of_seed=TRUNK_STEPS,
        )
    return front(last)


def volume(members: list[Codes]) -> float:
    """The hypervolume of the true accuracies and the costs of some candidates."""
    searched = Searched()
    costs = searched.costs.added(np.array(members))[:, :1]
    truth = np.array([true_accuracy(searched.space.sites(codes)) for codes in members])
    all_rows = searched.costs.draw(500, np.random.default_rng(0))
    most = searched.costs.added(all_rows)[:, 0].max()
    values = np.column_stack([(0.95 - truth) / 0.25, costs[:, 0] / most])
    return hypervolume(values, np.ones(2))


def one(steps: int, seed: int) -> tuple[float, float]:
    """Return what both truly reach, the race with a quarter of the steps."""
    return volume(plain(seed, steps)), volume(raced(seed, steps // 4))


def main(repeats: int = 30) -> None:
    """Print the medians over the repeats."""
    with ProcessPoolExecutor(2) as pool:
        for steps in (1200, 2400, 4800):
            found = list(pool.map(partial(one, steps), range(repeats)))
            old, new = (median(each) for each in zip(*found, strict=True))
            print(
                f"{steps} steps, one run of each: {old:.3f}; "
                f"{steps // 4} steps, racing from trunks: {new:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
