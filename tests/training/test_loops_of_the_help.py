"""The training loops that the chapter on tasks shows, as it shows them."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from tests import readme
from tests.conftest import REPOSITORY

LOOPS = "".join(readme.code("python", readme.CHAPTERS / "tasks.md"))


@pytest.mark.parametrize("name", ["digits", "lightning_digits"])
def test_a_loop_of_the_help_is_judged(name: str, bamctl: object, tmp_path: Path) -> None:
    if name.startswith("lightning") and importlib.util.find_spec("lightning") is None:
        pytest.skip("needs lightning")
    (tmp_path / "loops.py").write_text(LOOPS)
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    options = ["--num-classes", "10", "--input", "3x32x32", "--steps", "40", "--seeds", "2"]
    arguments = ["--train", f"loops:{name}", *options, "--out", "run", "--format", "json"]
    found = bamctl("train", "tests.networks:Tiny", *arguments, env=env)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert (told["train"], told["measure"], told["task"]) == (f"loops:{name}", "value", None)
    # Forty steps teach more than guessing.
    assert all(0.15 < value <= 1 for arm in told["arms"] for value in arm["value"])
    curve = told["arms"][0]["curve"]
    assert [point["step"] for point in curve] == ([20, 40] if name == "digits" else [40])


def test_a_search_takes_a_loop(bamctl: object, tmp_path: Path) -> None:
    """Lower is better: the front is sorted by the error, which is shown with its own sign."""
    (tmp_path / "loops.py").write_text(LOOPS + ERROR)
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    space = ["--candidates", "one", "--branches", "channel", "--combine", "sum", "--reduction", "8"]
    goal = ["--exhaustive", "--seeds", "2", "--confirm-seeds", "2", "--steps", "3"]
    loop = ["--train", "loops:error", "--metric", "error", "--better", "lower"]
    options = ["--num-classes", "10", "--input", "3x32x32", "--out", "run", "--format", "json"]
    arguments = ["tests.networks:Tiny", *space, *goal, *loop, *options]
    found = bamctl("search", *arguments, env=env)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    values = {each["name"]: each["values"] for each in told["trials"]}
    # By hand: the loop answers 3 + seed, less 0.5 with a module.
    assert values["baseline"][:2] == [3.0, 4.0]
    with_module = next(own for name, own in values.items() if name != "baseline")
    assert with_module[:2] == [2.5, 3.5]
    best = max(told["front"], key=lambda each: each["added_params"])
    assert best["delta"] == -0.5
    assert best["confirmed"]["delta_mean"] == -0.5
    assert best["confirmed"]["verdict"] == "helps"


def test_a_sensitivity_analysis_takes_a_loop(tmp_path: Path, bamctl: object) -> None:
    (tmp_path / "loops.py").write_text(ERROR)
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    loop = ["--train", "loops:error", "--metric", "error", "--better", "lower"]
    options = ["--sensitivity", "--where", "one", "--where", "two", "--steps", "3", "--seeds", "2"]
    shape = ["--num-classes", "10", "--input", "3x32x32", "--format", "json"]
    found = bamctl("analyze", "tests.networks:Tiny", *options, *loop, *shape, env=env)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    # Any module takes half an error off, a second one nothing more.
    assert told["value"]["baseline"] == [3.0, 4.0]
    for site in told["sites"]:
        assert (site["alone"]["delta_mean"], site["added_last"]["delta_mean"]) == (-0.5, 0.0)
        assert site["alone"]["verdict"] == "helps"


ERROR = """
def error(network, *, seed, steps, device, report):
    return {"error": steps + seed - 0.5 * hasattr(network, "inserted"), "unused": 1.0}
"""
