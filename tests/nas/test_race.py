"""Races: who is ruled out, what is spent, and what a killed race resumes to."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bamctl.errors import BamctlError, InputError
from bamctl.nas.jobs import Job
from bamctl.nas.race import Race, Standings, race
from bamctl.nas.records import Records
from bamctl.nas.result import after_race, gather, standings
from bamctl.nas.run import Search
from tests.nas.table import Quiet, Scratch, Searched, Table, score
from tests.nas.test_result import Counting
from tests.nas.test_run import local, run


def of(score: list[list[float]], costs: list[list[float]]) -> Standings:
    codes = tuple((index,) for index in range(len(score)))
    return Standings(codes, np.array(score), np.array(costs), resolution=1e-6)


# Luck of +-0.001 that no seed shares: far from the differences of 0.1, and beyond those of 0.0005.
LUCK = np.array([[1, -1, 1, -1], [-1, 1, 1, -1], [1, 1, -1, -1], [-1, -1, 1, 1]]) * 1e-3


def test_what_is_shown_to_be_worse_and_is_no_cheaper_is_ruled_out() -> None:
    """The first is free, the second dear and worse, the third dear and best, the last its equal."""
    level = np.array([[0.8], [0.7], [0.9], [0.9005]])
    found = of((level + LUCK).tolist(), [[0], [5], [6], [6]])
    assert found.is_ruled_out().tolist() == [False, True, False, False]
    assert found.is_level().tolist() == [False, False, True, True]
    assert found.is_open()
    # With a cost of its own, each of the two may be on the front only if it is better or cheaper.
    apart = of((level[:3] + LUCK[:3]).tolist(), [[0], [5], [6]])
    assert not apart.keep(~apart.is_ruled_out()).is_open()


def test_how_easy_a_seed_is_makes_no_difference() -> None:
    """Seeds differ by ten times as much as the two candidates, which differ by the same in each."""
    seeds = np.array([0.1, 0.9, 0.5, 0.3])
    drawn = np.random.default_rng(0).normal(0, 1e-4, (2, 4))
    found = of((np.array([[0.05], [0.0]]) + seeds + drawn).tolist(), [[1], [1]])
    assert found.is_ruled_out().tolist() == [False, True]


def test_one_seed_rules_nothing_out() -> None:
    found = of([[0.1], [0.9]], [[0], [0]])
    assert not found.is_ruled_out().any()
    assert found.is_open()


def test_equal_candidates_are_ruled_out_rarely() -> None:
    """Twelve equal candidates of equal cost, three seeds: any of them in about one of four races.

    The level of 5 % is for the comparisons of one candidate with all others.
    """
    drawn = np.random.default_rng(1).normal(0.9, 0.01, (2000, 12, 3))
    out = [of(each.tolist(), [[1]] * 12).is_ruled_out().sum() for each in drawn]
    print(f"{100 * np.mean(out) / 12:.2f} % of the candidates are ruled out")
    assert np.mean(out) / 12 < 0.05


def test_racing_spends_the_steps_on_what_is_left(tmp_path: Path) -> None:
    searched, engine = Searched(), Counting()
    start = table_standings(searched)
    records = recorded(tmp_path, searched)
    found = race(
        start, records, engine, seeds=range(100, 200), steps=1500, steps_of_run=30, steps_of_seed=10
    )
    left = [start.keep(~start.is_ruled_out())]
    assert len(left[0].codes) < len(start.codes)
    by_seed: dict[int, int] = {}
    for job in engine.jobs:
        (seed,) = job.seeds
        by_seed[seed] = by_seed.get(seed, 0) + 1
    counts = list(by_seed.values())
    assert list(by_seed) == list(range(100, 100 + len(by_seed)))
    assert counts[0] == len(left[0].codes)
    assert counts == sorted(counts, reverse=True)
    spent = sum(10 + 30 * count for count in counts)
    assert spent <= 1500
    assert found.scores.keys() == set(start.codes)
    assert (0,) * len(searched.space.places) in found.standings.codes
    for codes, scores in found.scores.items():
        sites = searched.space.sites(codes)
        seeds = [0, 1, *by_seed][: len(scores)]
        assert scores == tuple(score(Job(sites, 90, ()), seed) for seed in seeds)


def test_no_seed_is_begun_after_the_deadline(tmp_path: Path) -> None:
    searched, engine = Searched(), Counting()
    start = table_standings(searched)
    records = recorded(tmp_path, searched)
    late = time.monotonic() - 1
    found = race(
        start, records, engine, seeds=range(100, 200), steps=1500, steps_of_run=30, deadline=late
    )
    assert engine.jobs == []
    assert found.scores.keys() == set(start.codes)


def test_no_trial_is_begun_after_the_deadline(tmp_path: Path) -> None:
    """Each trial takes a fifth of a second, one at a time; the first half second has three."""
    searched = Searched(changes={"trials": 12})
    study = searched.study(f"sqlite:///{tmp_path}/study.db")
    with local(Table(seconds=0.2), 1) as engine:
        engine.submit(Job((), 90, (0,))).result()
        deadline = time.monotonic() + 0.5
        watcher = Quiet()
        Search(searched.config, searched.space, study, engine, watcher, Scratch(), deadline).run()
    assert 1 <= watcher.count <= 3
    # Where not even the baseline was begun, nothing can be said.
    empty = searched.study(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(InputError, match="give more --max-minutes"):
        gather(searched.setup(), empty, tmp_path)


def test_a_killed_race_resumes_to_the_same_end(tmp_path: Path) -> None:
    searched = Searched()
    start = table_standings(searched)

    class Dying(Counting):
        def submit(self, job: Job) -> object:
            if len(self.jobs) == 4:
                raise BamctlError("killed")
            return super().submit(job)

    def raced(folder: str, engine: Counting) -> Race:
        records = recorded(tmp_path / folder, searched)
        return race(start, records, engine, seeds=range(100, 200), steps=1500, steps_of_run=30)

    (tmp_path / "whole").mkdir()
    (tmp_path / "part").mkdir()
    whole = raced("whole", Counting())
    with pytest.raises(BamctlError, match="killed"):
        raced("part", Dying())
    resumed = Counting()
    assert raced("part", resumed).scores == whole.scores
    kept = len((tmp_path / "whole" / "race.jsonl").read_text().splitlines())
    assert 0 < len(resumed.jobs) < kept


def test_a_result_after_a_race_offers_the_cheapest_of_what_is_level(tmp_path: Path) -> None:
    searched = Searched(changes={"trials": 12})
    searched.config.training.seeds[:] = [0, 1]
    study = searched.study(f"sqlite:///{tmp_path}/study.db")
    with local(Table(), 1) as engine:
        run(searched, study, engine)
    result = gather(searched.setup(), study, tmp_path)
    start = standings(result)
    assert start.score.shape == (12, 2)
    best = max(result.trials, key=lambda each: each.score)
    # Two candidates as good as the best, and everything else far below.
    rows = [codes in (best.codes, result.front[-1].codes) for codes in start.codes]
    last = replace(start, score=np.where(np.array(rows)[:, None], 0.95, 0.6) + np.zeros((12, 2)))
    scores = {c: tuple(a) for c, a in zip(last.codes, last.score.tolist(), strict=True)}
    found = after_race(result, Race(last, scores))
    assert {each.codes for each in found.level} == {
        c for c, kept in zip(last.codes, rows, strict=True) if kept
    }
    costs = [each.added["params"] for each in found.level]
    assert costs == sorted(costs)
    assert all(each.delta == pytest.approx(0.35) for each in found.level)
    assert found.level[0] in found.front


def table_standings(searched: Searched) -> Standings:
    """Twenty random candidates and the baseline, with two seeds."""
    drawn = searched.costs.draw(20, np.random.default_rng(2)).tolist()
    codes = dict.fromkeys([(0,) * len(searched.space.places), *map(tuple, drawn)])
    scores = [
        [score(Job(searched.space.sites(each), 90, ()), seed) for seed in (0, 1)] for each in codes
    ]
    costs = searched.costs.added(np.array(list(codes)))
    return Standings(tuple(codes), np.array(scores), costs, 1e-3)


def recorded(folder: Path, searched: Searched) -> Records:
    return Records(
        folder / "race.jsonl", searched.space, Scratch(), steps=90, search={}, note=print
    )
