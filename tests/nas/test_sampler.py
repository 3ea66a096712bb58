"""Samplers on a table of 15,625 networks whose best trade-offs are known."""

from statistics import median

import numpy as np
import optuna
import pytest

from bamctl.nas._front import hypervolume, is_front
from bamctl.nas._sampler import Proposals
from bamctl.nas._trials import CODES
from bamctl.nas.choices import Choices
from bamctl.nas.jobs import Job
from tests.nas.table import Searched, score

SEEDS = range(20)
REACHED = 0.95


@pytest.fixture(scope="module")
def searched() -> Searched:
    return Searched()


def _values(searched: Searched, rows: np.ndarray) -> np.ndarray:
    sites = [searched.space.sites(codes) for codes in rows]
    worth = [1 - score(Job(each, 90, (0,)), 0) for each in sites]
    return np.column_stack([worth, searched.costs.added(rows)[:, 0]])


def _codes(searched: Searched, kind: str, seed: int, study: optuna.Study) -> tuple[int, ...]:
    """Ask for a trial and look its values up, as a search does."""
    space = searched.space
    number = len(study.get_trials(deepcopy=False))
    study.sampler = Proposals(kind, searched.costs, 100_000 * seed + number)
    trial = study.ask()
    queued = trial.user_attrs.get(CODES)
    for name in space.parameters if queued is None else space.encode(queued):
        trial.suggest_categorical(name, space.choices[name])
    codes = space.decode(trial.params)
    trial.set_user_attr(CODES, list(codes))
    worth, added = _values(searched, np.array([codes]))[0]
    study.tell(trial, [1 - worth, added])
    return codes


def _study(searched: Searched) -> optuna.Study:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for codes in searched.space.references.values():
        study.enqueue_trial(searched.space.encode(codes), user_attrs={CODES: list(codes)})
    return study


def _trials_needed(searched: Searched, kind: str, seed: int, wanted: float, most: int) -> int:
    study, front = _study(searched), np.empty((0, 2))
    for count in range(1, most):
        codes = _codes(searched, kind, seed, study)
        assert searched.costs.fits(codes)
        front = np.vstack([front, _values(searched, np.array([codes]))])
        front = front[is_front(front)]
        if hypervolume(front, _reference(searched)) >= wanted:
            return count
    return most


def _reference(searched: Searched) -> np.ndarray:
    """The accuracy of guessing well, and the costliest candidate."""
    return np.array([0.3, searched.costs.added(searched.costs.within)[:, 0].max() * 1.01])


def test_samplers_need_half_the_trials_of_chance(searched: Searched) -> None:
    every = _values(searched, searched.costs.within)
    wanted = REACHED * hypervolume(every[is_front(every)], _reference(searched))
    needed = {
        kind: median(_trials_needed(searched, kind, seed, wanted, 400) for seed in SEEDS)
        for kind in ("random", "nsga2", "tpe")
    }
    assert needed["nsga2"] <= needed["random"] / 2, needed
    assert needed["tpe"] <= needed["random"] / 2, needed


@pytest.mark.parametrize("kind", ["nsga2", "tpe", "random"])
def test_no_network_twice_until_all_are_tried(kind: str) -> None:
    choices = Choices(
        candidates=["alpha", "gamma"],
        reduction=[8, 4, 16],
        dilation=[1],
        branches=["both", "channel"],
        combine=["sum"],
    )
    searched = Searched(choices=choices, budget={"params": "+10 %"})
    within = {tuple(row) for row in searched.costs.within.tolist()}
    study = optuna.create_study(directions=["maximize", "minimize"])
    found = []
    for number in range(len(within)):
        study.sampler = Proposals(kind, searched.costs, number)
        trial = study.ask()
        for name in searched.space.parameters:
            trial.suggest_categorical(name, searched.space.choices[name])
        codes = searched.space.decode(trial.params)
        study.tell(trial, [float(sum(codes)), float(number)])
        found.append(codes)
    assert set(found) == within
    assert len(found) > 5


def test_a_proposal_depends_on_the_trials_and_the_seed_alone(searched: Searched) -> None:
    for kind in ("nsga2", "tpe", "random"):
        one, other = _study(searched), _study(searched)
        rows = [_codes(searched, kind, 0, one) for _ in range(30)]
        assert rows == [_codes(searched, kind, 0, other) for _ in range(30)]
        changed = _study(searched)
        assert rows != [_codes(searched, kind, 1, changed) for _ in range(30)]
