import sqlite3
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from bamctl.errors import InputError
from bamctl.nas._sampler import _MUTATIONS
from bamctl.nas._space import Space
from bamctl.nas._trials import CODES, REASON, Asked, candidate
from bamctl.nas.jobs import Job
from bamctl.nas.study import Study
from tests.nas.table import Searched, score


def _finish(searched: Searched, study: Study, asked: Asked) -> None:
    job = Job(searched.space.sites(asked.codes), 90, (0,))
    study.finish(asked, score(job, 0), {"steps": 90})


def _run(searched: Searched, study: Study, most: int = 1000) -> list[tuple[int, ...]]:
    found = []
    while len(found) < most and (asked := study.next()) is not None:
        _finish(searched, study, asked)
        found.append(asked.codes)
    return found


def _complete(searched: Searched, study: Study) -> list[tuple[int, ...] | None]:
    return [
        candidate(trial, searched.space)
        for trial in study.trials()
        if trial.state == TrialState.COMPLETE
    ]


def test_the_baseline_and_the_strategies_come_first(tmp_path: Path) -> None:
    searched = Searched()
    study = searched.study(f"sqlite:///{tmp_path}/study.db")
    found = _run(searched, study)
    assert found[:3] == list(searched.space.references.values())
    assert len(found) == len(set(found)) == searched.config.trials
    assert searched.costs.is_within(np.array(found)).all()


def test_a_strategy_over_budget_is_in_the_study_and_not_run(tmp_path: Path) -> None:
    searched = Searched(budget={"params": "+3 %"})
    block = searched.space.references["block"]
    assert not searched.costs.fits(block)
    study = searched.study(f"sqlite:///{tmp_path}/study.db")
    assert block not in _run(searched, study)
    (noted,) = (t for t in study.trials() if candidate(t, searched.space) == block)
    assert (noted.state, noted.user_attrs[REASON]) == (TrialState.FAIL, "over budget")


def test_stopped_and_gone_on_is_the_same_as_never_stopped(tmp_path: Path) -> None:
    searched = Searched(changes={"trials": 30})
    whole = _run(searched, searched.study(f"sqlite:///{tmp_path}/whole.db"))
    parts = []
    for most in (5, 1, 9, 100):
        parts += _run(searched, searched.study(f"sqlite:///{tmp_path}/parts.db"), most)
    assert parts == whole


def test_what_a_dead_driver_left_is_run_again(tmp_path: Path) -> None:
    searched = Searched()
    url = f"sqlite:///{tmp_path}/study.db"
    first = searched.study(url)
    _run(searched, first, 4)
    lost = [first.next(), first.next()]
    assert None not in lost
    study = searched.study(url)
    _run(searched, study)
    ended = _complete(searched, study)
    assert {asked.codes for asked in lost if asked} <= set(ended)
    assert len(ended) == len(set(ended)) == searched.config.trials
    assert study.is_done()


def test_a_driver_taken_for_dead_does_not_end_a_trial_twice(tmp_path: Path) -> None:
    searched = Searched()
    url = f"sqlite:///{tmp_path}/study.db"
    slow = searched.study(url)
    asked = slow.next()
    assert asked is not None
    study = searched.study(url)
    _run(searched, study)
    _finish(searched, slow, asked)
    ended = _complete(searched, study)
    assert len(ended) == len(set(ended)) == searched.config.trials


def test_two_drivers_do_not_take_each_other_s_trials(tmp_path: Path) -> None:
    searched = Searched()
    url = f"sqlite:///{tmp_path}/study.db"
    drivers = [searched.study(url, alone=False) for _ in range(2)]
    while pending := [(each, asked) for each in drivers if (asked := each.next())]:
        for study, asked in pending:
            _finish(searched, study, asked)
    ended = _complete(searched, drivers[0])
    assert len(ended) == len(set(ended)) == searched.config.trials
    assert all(study.is_done() for study in drivers)


def test_more_trials_go_on_from_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    few, more = Searched(changes={"trials": 5}), Searched(changes={"trials": 9})
    first = _run(few, few.study(url))
    assert (len(first), len(_run(more, more.study(url)))) == (5, 4)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Searched(budget={"params": "+14 %"}), "budget.params is '.14 %', expected '.15 %'"),
        (Searched(changes={"halving": 2, "rungs": 2}), "halving is 2, expected 1"),
    ],
)
def test_a_study_of_another_search_is_refused(tmp_path: Path, other: Searched, words: str) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    Searched().study(url)
    with pytest.raises(InputError, match=words):
        other.study(url)


def test_a_configuration_that_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    searched = Searched()
    searched.study(f"sqlite:///{tmp_path}/s.db")
    recipe = searched.config.training.recipe.model_copy(update={"lr": 0.2})
    training = searched.config.training.model_copy(update={"recipe": recipe})
    searched.config = searched.config.model_copy(update={"training": training})
    with pytest.raises(
        InputError, match=r"recipe\.lr is 0\.2, expected 0\.1; restore config\.yaml"
    ):
        searched.study(f"sqlite:///{tmp_path}/s.db")
    with pytest.raises(InputError, match=r"recipe\.lr is 0\.2, .*another name with --study"):
        searched.study(f"sqlite:///{tmp_path}/s.db", alone=False)


def test_asking_decodes_no_trial_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many trials there are: each keeps its codes."""
    searched = Searched(changes={"trials": 40})
    study = searched.study(f"sqlite:///{tmp_path}/study.db")
    decoded: list[int] = []
    decode = Space.decode

    def counted(space: Space, params: dict[str, object]) -> tuple[int, ...]:
        decoded[-1] += 1
        return decode(space, params)

    monkeypatch.setattr(Space, "decode", counted)
    for _ in range(40):
        decoded.append(0)
        asked = study.next()
        assert asked is not None
        _finish(searched, study, asked)
    # One proposal and what it was mended to, whatever was asked before.
    assert len(study.trials()) == 40
    assert max(decoded[20:]) <= 2 + _MUTATIONS
    assert sum(decoded[20:]) < 20 * 20
    assert all(CODES in trial.user_attrs for trial in study.trials())


def test_a_study_of_the_version_before_goes_on(tmp_path: Path) -> None:
    """Its trials have codes only where they were queued; others are read from their parameters."""
    searched = Searched(changes={"trials": 12})
    url = f"sqlite:///{tmp_path}/study.db"
    ended = _run(searched, searched.study(url), 8)
    with sqlite3.connect(tmp_path / "study.db") as database:
        queued = len(searched.space.references)
        trials = f"(SELECT trial_id FROM trials WHERE number >= {queued})"
        where = f"WHERE key = '{CODES}' AND trial_id IN {trials}"
        assert database.execute(f"DELETE FROM trial_user_attributes {where}").rowcount == 8 - queued
    study = searched.study(url)
    later = _run(searched, study)
    assert len(later) == 4
    assert set(_complete(searched, study)) == {*ended, *later}
    assert len({*ended, *later}) == 12
