"""The public functions return what the commands print."""

import json
import math
import os
from pathlib import Path

import pytest

import bamctl as library
from bamctl.report.formats.formats import FORMATS
from bamctl.report.notebook import VIEWS
from bamctl.report.views.check import check_report
from bamctl.report.views.latency import latency_view
from bamctl.report.views.search import search_report
from bamctl.report.views.training import training_report
from tests.conftest import REPOSITORY

TINY = "tests.networks:Tiny"
ENV = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
# What depends on the moment and on the machine.
OF_THE_MOMENT = {"seconds_per_step", "seconds", "folder", "peak_memory_bytes", "command"}


def data(report: object) -> dict[str, object]:
    found = json.loads(FORMATS["json"].render(report, to_file=True))
    return comparable(found)


def comparable(value: object) -> object:
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items() if k not in OF_THE_MOMENT}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    return value


def test_training(bamctl: object, tmp_path: Path) -> None:
    found = library.train(TINY, where=["bottleneck"], steps=4, seeds=2, out=tmp_path / "library")
    options = ["--where", "bottleneck", "--steps", "4", "--seeds", "2", "--out", "command"]
    printed = bamctl("train", TINY, *options, "--format", "json", env=ENV)
    assert printed.returncode == 0, printed.stderr
    assert comparable(json.loads(printed.stdout)) == data(training_report(found))
    assert "<iframe" in found._repr_html_()
    more = library.train(resume=tmp_path / "library", seeds=3)
    assert [len(each.values) for each in more.arms] == [3, 3]


def test_search(bamctl: object, tmp_path: Path) -> None:
    given = {"trials": 3, "steps": 2, "confirm_seeds": 0, "max_steps": 20}
    given["recipe"] = {"batch_size": 32}
    found = library.search(
        TINY, budget={"params": "+20 %"}, workers=1, out=tmp_path / "library", **given
    )
    quick = ["--trials", "3", "--steps", "2", "--confirm-seeds", "0", "--batch-size", "32"]
    quick += ["--max-steps", "20"]
    options = ["--budget", "params=+20 %", "--workers", "1", "--out", "command", *quick]
    printed = bamctl("search", TINY, *options, "--format", "json", env=ENV)
    assert printed.returncode == 0, printed.stderr
    theirs, ours = comparable(json.loads(printed.stdout)), data(search_report(found))
    assert theirs == ours
    assert "<iframe" in found._repr_html_()


def test_check(bamctl: object, tmp_path: Path) -> None:
    placement = library.Placement(model="resnet18", where="bottleneck", budget={"params": "+1 %"})
    placement.save(tmp_path / "p.yaml")
    found = library.check(placement, why=True)
    assert found.exit_code == 0
    printed = bamctl("check", "resnet18", "--where", "bottleneck", "--max-params", "+1 %",
                     "--why", "--format", "json")  # fmt: skip
    assert json.loads(printed.stdout) == data(check_report(found.results, (), why=True))
    file = library.check(tmp_path / "p.yaml").results[0]
    assert [each.figure for each in file.checks] == [
        each.figure for each in found.results[0].checks
    ]
    assert "<iframe" in found._repr_html_()


def test_latency(bamctl: object) -> None:
    found = library.latency("resnet18", device="rtx4090", batch_sizes=[1, 8])
    printed = bamctl("latency", "resnet18", "--device", "rtx4090", "--batch-size", "1",
                     "--batch-size", "8", "--format", "json")  # fmt: skip
    assert comparable(json.loads(printed.stdout)) == data(latency_view(found))
    measured = library.latency(TINY, input_shape=(3, 32, 32), device="cpu", min_seconds=0.1)
    assert math.isfinite(measured.batches[0].ratio)


def test_every_public_result_has_a_view() -> None:
    assert set(VIEWS) == {
        "Analysis",
        "CheckResult",
        "Judgment",
        "LatencyComparison",
        "LatencyResult",
        "Result",
        "SearchResult",
    }
    assert "<iframe" in library.analyze("squeezenet1_1")._repr_html_()


@pytest.mark.parametrize("name", [n for n in library.__all__ if n != "__version__"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    assert (getattr(library, name).__doc__ or "").strip()
