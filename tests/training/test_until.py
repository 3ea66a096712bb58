"""Seeds that are added, and verdicts with a margin, on short real comparisons."""

from pathlib import Path

import pytest

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.training.config import Until
from bamctl.training.experiment import Experiment
from bamctl.training.result import Result
from bamctl.training.run_folder import read_config
from bamctl.training.watching import NullObserver
from tests.training.conftest import small

BRIEF = {"recipe": {"steps": 5, "eval_every": 5}, "seeds": [0, 1]}


def run(folder: Path, digits: Data, **fields: object) -> Result:
    return Experiment(small(**{**BRIEF, **fields}), digits).run(folder, NullObserver())


def resumed(folder: Path, digits: Data, **changes: object) -> Result:
    config = read_config(folder).model_copy(update=changes)
    return Experiment(config, digits).run(folder, NullObserver(), resume=True)


def test_seeds_are_added_until_the_most_and_the_first_look_is_kept(
    digits: Data, tmp_path: Path
) -> None:
    found = run(tmp_path / "run", digits, until=Until(max_seeds=4))
    assert found.config.seeds == [0, 1, 2, 3]
    assert found.stopped is not None
    assert "4 seeds, the most" in found.stopped
    assert [each.evidence.first for each in found.comparisons] == [2]
    assert [len(each.evidence.deltas) for each in found.comparisons] == [4]
    written = read_config(tmp_path / "run")
    assert (written.seeds, written.first_look) == ([0, 1, 2, 3], 2)


def test_nothing_is_added_once_all_is_settled(digits: Data, tmp_path: Path) -> None:
    """Accuracies differ by at most 100 points, so that a margin of 100 settles any comparison."""
    found = run(tmp_path / "run", digits, seeds=[0, 1, 2], until=Until(), margin=100)
    assert found.is_settled
    assert found.comparisons[0].evidence.verdict == "equivalent"
    assert found.config.seeds == [0, 1, 2]
    assert found.stopped == "every comparison is settled after 3 seeds"


def test_it_resumes_to_the_result_without_an_interruption(digits: Data, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", digits, until=Until(max_seeds=4))
    run(tmp_path / "part", digits, until=Until(max_seeds=3))
    # Lost as in an interruption during the third seed.
    (tmp_path / "part" / "weights" / "bottleneck.seed-2.safetensors").unlink()
    found = resumed(tmp_path / "part", digits, until=Until(max_seeds=4))
    assert found.comparisons == whole.comparisons
    assert found.stopped == whole.stopped


def test_no_seed_is_begun_that_does_not_fit_in_the_minutes(digits: Data, tmp_path: Path) -> None:
    found = run(tmp_path / "run", digits, until=Until(max_minutes=1e-6))
    assert found.config.seeds == [0, 1]
    assert found.stopped is not None
    assert "another does not fit in 1e-06 minutes" in found.stopped


def test_a_single_seed_is_no_look(digits: Data, tmp_path: Path) -> None:
    run(tmp_path / "run", digits, seeds=[0])
    three = read_config(tmp_path / "run").with_seeds(3)
    assert (three.seeds, three.first_look) == ([0, 1, 2], None)
    assert three.with_seeds(5).first_look == 3
    with pytest.raises(InputError, match="would drop some"):
        three.with_seeds(2)


def test_the_loss_is_judged_beside_the_accuracy(digits: Data, tmp_path: Path) -> None:
    found = run(tmp_path / "run", digits)
    baseline, arm = found.arms
    (comparison,) = found.comparisons
    assert comparison.loss is not None
    assert comparison.loss.deltas == pytest.approx(
        [a - b for a, b in zip(arm.loss, baseline.loss, strict=True)]
    )
    diverged = run(tmp_path / "high", digits, recipe={"steps": 5, "eval_every": 5, "lr": 9e5})
    assert diverged.comparisons[0].loss is None
