"""The report of a comparison says what may be said, and no more."""

from dataclasses import replace
from pathlib import Path

import pytest

from bamctl.data.sets import Data
from bamctl.networks.spec import NetworkSpec
from bamctl.report.formats.formats import FORMATS
from bamctl.report.views.training import training_report
from bamctl.training.config import DataConfig
from bamctl.training.evidence import compare
from bamctl.training.experiment import Experiment
from bamctl.training.result import Result
from bamctl.training.samples import load_data
from bamctl.training.watching import NullObserver
from tests.training.conftest import MODEL, small


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    digits: Data = load_data(
        NetworkSpec(model=MODEL, input="3x32x32"), DataConfig(), "classification"
    )
    config = small(recipe={"steps": 2, "eval_every": 1})
    return Experiment(config, digits).run(tmp_path_factory.mktemp("run") / "run", NullObserver())


def with_accuracies(result: Result, base: list[float], arm: list[float]) -> Result:
    arms = [replace(a, values=tuple(v)) for a, v in zip(result.arms, (base, arm), strict=True)]
    (comparison,) = result.comparisons
    evidence = compare({"it": (base, arm)}, resolution=1 / 359)["it"]
    seeds = result.config.model_copy(update={"seeds": list(range(len(base)))})
    return replace(
        result,
        config=seeds,
        arms=tuple(arms),
        comparisons=(replace(comparison, evidence=evidence),),
    )


def text(result: Result) -> str:
    shown: str = FORMATS["table"].render(training_report(result), to_file=True)
    return " ".join(shown.split())


def test_a_clear_gain(result: Result) -> None:
    shown = text(with_accuracies(result, [0.90, 0.91, 0.92], [0.93, 0.94, 0.96]))
    assert "91.00 % ± 1.00" in shown
    assert "+3.33" in shown
    assert "bottleneck: helps." in shown
    assert "more would settle" not in shown


def test_a_clear_loss(result: Result) -> None:
    assert "bottleneck: hurts." in text(
        with_accuracies(result, [0.9, 0.91, 0.92], [0.8, 0.82, 0.82])
    )


def test_what_cannot_be_told(result: Result) -> None:
    shown = text(with_accuracies(result, [0.90, 0.93, 0.91], [0.92, 0.92, 0.93]))
    assert "bottleneck: inconclusive. A difference of" in shown
    assert "more either way is excluded. 3 seeds find one of" in " ".join(shown.split())
    assert "--seeds" in shown


def test_one_seed(result: Result) -> None:
    shown = text(with_accuracies(result, [0.9], [0.95]))
    assert "One seed shows no spread" in shown


def test_runs_that_diverged_are_said(result: Result) -> None:
    arms = (result.arms[0], replace(result.arms[1], diverged=1))
    assert "bottleneck: 1 of 2 runs diverged" in text(replace(result, arms=arms))


@pytest.mark.parametrize("name", ["markdown", "csv", "json"])
def test_every_format(name: str, result: Result, tmp_path: Path) -> None:
    shown = FORMATS[name].render(training_report(result), to_file=True)
    assert "bottleneck" in shown
    assert "baseline" in shown
