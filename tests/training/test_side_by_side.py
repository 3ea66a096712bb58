"""Runs side by side: the same as one after the other, whatever is killed."""

import os
import signal
from pathlib import Path

import pytest

from bamctl.data.sets import Data
from bamctl.networks import trust
from bamctl.training.config import Until
from bamctl.training.experiment import Experiment
from bamctl.training.result import Result
from bamctl.training.run_folder import read_config
from bamctl.training.side_by_side import Places
from bamctl.training.watching import NullObserver
from tests.conftest import REPOSITORY
from tests.interrupting import is_held, started
from tests.training.conftest import small, weights
from tests.training.test_trunks import Listener

HELD, DEADLY = "tests.networks:Held", "tests.networks:Deadly"
BRIEF = {"threads": 1, "trunk_steps": 6, "recipe": {"steps": 10, "eval_every": 4}}


def run(folder: Path, digits: Data, workers: int, **fields: object) -> Result:
    config = small(**{**BRIEF, **fields})
    experiment = Experiment(config, digits, Places(workers=workers))
    return experiment.run(folder, NullObserver())


@pytest.fixture(scope="module")
def in_turn(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(tmp_path_factory.mktemp("in-turn") / "run", digits, 1)


def same(found: Result, expected: Result) -> None:
    """All of a result but its folder and its times."""
    assert found.comparisons == expected.comparisons
    assert found.metrics == expected.metrics
    lines = [(each.folder / "metrics.jsonl").read_bytes() for each in (found, expected)]
    assert lines[0] == lines[1]
    assert weights(found.folder) == weights(expected.folder)


def test_two_workers_find_what_one_does(in_turn: Result, digits: Data, tmp_path: Path) -> None:
    found = run(tmp_path / "run", digits, 2)
    same(found, in_turn)
    assert not (tmp_path / "run" / "cells").exists()
    assert (tmp_path / "run" / "trunks" / "seed-1.safetensors").exists()


def test_a_worker_that_is_killed_is_replaced(
    in_turn: Result, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEADLY", str(tmp_path))
    trust.trust(DEADLY)
    found = run(tmp_path / "run", digits, 2, model=DEADLY)
    assert (tmp_path / "deadly").exists()
    assert weights(found.folder) == weights(in_turn.folder)


def test_seeds_that_are_added_keep_all_workers_busy(digits: Data, tmp_path: Path) -> None:
    found = run(tmp_path / "run", digits, 4, until=Until(max_seeds=5))
    # Four workers and two arms: two seeds more, and then the one that is left.
    assert found.config.seeds == [0, 1, 2, 3, 4]
    assert read_config(tmp_path / "run").first_look == 2


def test_events_are_those_of_the_runs(digits: Data, tmp_path: Path) -> None:
    listener = Listener()
    experiment = Experiment(small(**BRIEF, seeds=[0]), digits, Places(workers=2))
    experiment.run(tmp_path / "run", listener)
    assert sorted(listener.started) == [("baseline", 0, 6), ("bottleneck", 0, 6)]


def test_a_killed_driver_resumes_its_runs_in_their_cells(bamctl: object, tmp_path: Path) -> None:
    """Both runs are held after 20 steps, with states of 16 steps or more in their cells."""
    options = ["--steps", "30", "--seeds", "1", "--eval-every", "4", "--workers", "2"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    whole = bamctl("train", HELD, *options, "--trust", HELD, "--out", "whole", env=env)
    assert whole.returncode == 0, whole.stderr
    arguments = ["train", HELD, *options, "--trust", HELD, "--out", "part"]
    with started(tmp_path, *arguments, quick_workers=True, HELD_AFTER="20") as command:
        command.wait_for(is_held)
        command.wait_for(lambda _: len(states(tmp_path)) == 2)
        command.end(signal.SIGKILL)
    resumed = bamctl("train", "--resume", "part", "--workers", "2", "--trust", HELD, env=env)
    assert resumed.returncode == 0, resumed.stderr
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("part", "whole")]
    assert metrics[0] == metrics[1]


def states(folder: Path) -> set[str]:
    """The runs that have a state of 16 steps or more in their cells."""
    found = (folder / "part" / "cells").glob("*/checkpoints/*/step-*.safetensors")
    return {path.parent.name for path in found if int(path.stem.removeprefix("step-")) >= 16}


def test_trunks_from_weights_that_workers_trained_are_taken_up_again(
    in_turn: Result, digits: Data, tmp_path: Path
) -> None:
    """Their receipts say which weights they start from, whoever trained them."""
    kept = str(in_turn.folder / "weights" / "baseline.seed-0.safetensors")
    run(tmp_path / "run", digits, 2, weights=kept, seeds=[0])
    (tmp_path / "run" / "weights" / "bottleneck.seed-0.safetensors").unlink()
    listener = Listener()
    experiment = Experiment(read_config(tmp_path / "run"), digits)
    experiment.run(tmp_path / "run", listener, resume=True)
    assert [arm for arm, *_ in listener.started] == ["bottleneck"]
