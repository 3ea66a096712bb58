"""Results alone go to standard output."""

import json
import os

import pytest

from tests.conftest import REPOSITORY

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
TALKATIVE = "tests.networks:Talkative"
QUICK = ["--steps", "2", "--batch-size", "32"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", TALKATIVE],
        ["train", TALKATIVE, *QUICK, "--seeds", "1"],
        ["search", TALKATIVE, *QUICK, "--trials", "1", "--confirm-seeds", "0"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_a_network_prints_is_no_result(bamctl: object, arguments: list[str]) -> None:
    found = bamctl(*arguments, "--format", "json", env=ENVIRONMENT)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["schema"] == 2
    for word in ("printed", "written", "echoed"):
        assert word in found.stderr
