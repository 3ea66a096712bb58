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
