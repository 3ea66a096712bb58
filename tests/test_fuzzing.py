"""Damaged files are bad input in one line: no bug, no hang, no more memory than there is."""

import json
import os
import subprocess
import sys

import pytest

from tests import fuzz
from tests.conftest import REPOSITORY

COUNT, SEED = 150, 24


@pytest.fixture(scope="module")
def fell() -> dict[str, list[str]]:
    """What fell of each kind, in a process of its own, which a damaged file may end."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", ",".join(fuzz.CASES), str(COUNT), str(SEED)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.xdist_group("fuzzing")
@pytest.mark.parametrize("kind", fuzz.CASES)
def test_damaged_files_are_bad_input(kind: str, fell: dict[str, list[str]]) -> None:
    assert fell[kind] == []


@pytest.mark.parametrize("kind", fuzz.CASES)
def test_the_fuzzer_damages_files(kind: str, tmp_path: object) -> None:
    _, make, mutate, _ = fuzz.CASES[kind]
    good = make(tmp_path)
    draw = fuzz.random.Random(0)
    assert sum(mutate(good, draw) != good for _ in range(20)) > 15
