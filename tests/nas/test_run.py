import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.trial import TrialState

from bamctl.engines.engine import Engine, LocalEngine
from bamctl.nas._trials import candidate
from bamctl.nas.run import Search
from bamctl.nas.study import Study
from tests.conftest import REPOSITORY
from tests.console import Process
from tests.nas.table import Quiet, Scratch, Searched, Table

Results = dict[tuple[int, ...], float]


@contextmanager
def local(table: Table, workers: int) -> Iterator[Engine]:
    engine = LocalEngine(table, workers)
    try:
        yield engine
    finally:
        engine.close()


def run(searched: Searched, study: Study, engine: Engine) -> list[tuple[int, ...]]:
    """The candidates of a search in the order of their trials, each of which ended once."""
    Search(searched.config, searched.space, study, engine, Quiet(), Scratch()).run()
    return list(results(searched, study))


def results(searched: Searched, study: Study) -> Results:
    ended = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    found = {candidate(trial, searched.space): trial.values[0] for trial in ended}
    assert len(found) == len(ended) == searched.config.trials
    assert not {t.state for t in study.trials()} - {TrialState.COMPLETE, TrialState.FAIL}
    return {codes: value for codes, value in found.items() if codes is not None}


def test_the_same_seed_is_the_same_search_and_workers_change_no_result(tmp_path: Path) -> None:
    searched = Searched()
    studies = [searched.study(f"sqlite:///{tmp_path}/{name}.db") for name in "abc"]
    with local(Table(), 1) as engine:
        first = run(searched, studies[0], engine)
        assert run(searched, studies[1], engine) == first
    with local(Table(), 2) as engine:
        run(searched, studies[2], engine)
    one, two = results(searched, studies[0]), results(searched, studies[2])
    shared = one.keys() & two.keys()
    assert len(shared) >= 3
    assert {codes: one[codes] for codes in shared} == {codes: two[codes] for codes in shared}


def test_a_killed_process_is_replaced_and_its_trials_run_again(tmp_path: Path) -> None:
    searched = Searched()
    study = searched.study(f"sqlite:///{tmp_path}/study.db")
    deadly = tmp_path / "deadly"
    with local(Table(deadly=deadly), 2) as engine:
        run(searched, study, engine)
    assert deadly.exists()
    assert {trial.state for trial in study.trials()} == {TrialState.COMPLETE}


def test_halving_takes_the_best_further_and_the_strategies_to_the_end(tmp_path: Path) -> None:
    searched = Searched(changes={"halving": 3, "rungs": 3, "trials": 30})
    study = searched.study(f"sqlite:///{tmp_path}/study.db")
    with local(Table(), 1) as engine:
        run(searched, study, engine)
    steps = [trial.user_attrs["steps"] for trial in study.trials()]
    assert steps[:3] == [90, 90, 90]
    counts = {each: steps.count(each) for each in (10, 30, 90)}
    assert sum(counts.values()) == 30
    assert counts[10] > counts[30] > 0
    assert counts[90] < 15


DRIVER = """
import sys
from tests.nas.table import Quiet, Scratch, Searched, Table
from bamctl.engines.engine import LocalEngine
from bamctl.nas.run import Search
if __name__ == "__main__":
    searched = Searched()
    study = searched.study(sys.argv[1])
    engine = LocalEngine(Table(seconds=0.2), 2)
    Search(searched.config, searched.space, study, engine, Quiet(), Scratch()).run()
    engine.close()
"""


def driver(program: str, tmp_path: Path, *arguments: str) -> Process:
    """A search in a process of its own, that may be killed."""
    file = tmp_path / "driver.py"
    file.write_text(program)
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    log = os.open(tmp_path / "driver.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    # Not in the folder of the test, outside of which a network is not trusted.
    return Process([str(file), *arguments], Path.cwd(), env, log, os.dup(log), adopts=True)


def wait_for(condition: object, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.1)


def count(study: Study, state: TrialState) -> int:
    return sum(trial.state == state for trial in study.trials())


@pytest.mark.parametrize("ended", [2, 7])
def test_a_killed_driver_is_gone_on_with(tmp_path: Path, ended: int) -> None:
    searched = Searched()
    url = f"sqlite:///{tmp_path}/study.db"
    watched = searched.study(url, alone=False)
    process = driver(DRIVER, tmp_path, url)
    wait_for(lambda: count(watched, TrialState.COMPLETE) >= ended)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    before = [trial for trial in watched.trials() if trial.state == TrialState.COMPLETE]
    with local(Table(), 1) as engine:
        run(searched, searched.study(url), engine)
    after = {trial.number: trial.values for trial in watched.trials()}
    assert all(after[trial.number] == trial.values for trial in before)
