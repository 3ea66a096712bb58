"""SIGINT, SIGTERM and SIGKILL at any moment: exit codes, no traceback, and no process left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

from tests.conftest import SCRIPT
from tests.interrupting import (
    CODES,
    Event,
    catches_signals,
    has_children,
    has_written,
    imports_torch,
    is_held,
    started,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="moments are read from /proc")

ANALYZE = ["analyze", "resnet18", "--no-cache"]
SWEEP = ["analyze", "--all", "--jobs", "2", "--format", "csv"]
INSERT = ["insert", "resnet18", "--out", "network.py"]
HELD = ["tests.networks:Held", "--batch-size", "32", "--steps", "8", "--out", "run"]
TRAIN = ["train", *HELD, "--workers", "2"]
SEARCH = ["search", *HELD, "--workers", "2", "--trials", "4", "--confirm-seeds", "0"]
# The trials with their trunks take 40 steps, and a round of the race would take 20.
SEARCH += ["--max-steps", "56"]
# The command itself, its workers, and the process by which `multiprocessing` tracks semaphores.
WORKERS = has_children(3)


@pytest.mark.parametrize(
    ("arguments", "moment", "number"),
    [
        (INSERT, catches_signals, SIGINT),
        (SWEEP, catches_signals, SIGTERM),
        (ANALYZE, imports_torch, SIGINT),
        (["latency", "resnet18"], imports_torch, SIGTERM),
        (INSERT, has_children(1), SIGINT),
        (INSERT, has_children(1), SIGTERM),
        (INSERT, has_children(1), SIGKILL),
        (SWEEP, WORKERS, SIGINT),
        (SWEEP, WORKERS, SIGKILL),
        (SWEEP, has_written("stdout"), SIGTERM),
        (TRAIN, is_held, SIGINT),
        (TRAIN, is_held, SIGKILL),
        (SEARCH, WORKERS, SIGTERM),
        (SEARCH, is_held, SIGKILL),
    ],
)
def test_everything_ends(
    arguments: list[str], moment: Event, number: signal.Signals, tmp_path: Path
) -> None:
    imports = moment in (catches_signals, imports_torch)
    with started(tmp_path, *arguments, imports=imports, HELD_AFTER="4") as command:
        command.wait_for(moment)
        command.end(number)
    assert command.process.returncode == CODES[number]
    # A worker that is being born when its parent is killed says that it finds nobody.
    assert "Traceback" not in command.told() or number is SIGKILL
    assert command.told().count("interrupted") == (number is not SIGKILL)


def test_an_interrupted_search_keeps_its_trials(tmp_path: Path) -> None:
    """The process that runs the trials has had the first of them when it is held in the second."""
    search = [*SEARCH, "--workers", "1"]
    resume = ["search", "--resume", "run", "--trust", "tests.networks:Held"]
    for number, arguments in ((SIGINT, search), (SIGTERM, resume)):
        with started(tmp_path, *arguments, quick_workers=True, HELD_AFTER="12") as command:
            command.wait_for(is_held)
            command.end(number)
        assert command.process.returncode == CODES[number]
        assert f"resume with `bamctl {' '.join(resume)}`" in command.told()
        (tmp_path / "held").unlink()
    with started(tmp_path, *resume, "--format", "json", quick_workers=True) as command:
        assert command.process.wait(300) == 0, command.told()
    whole = tmp_path / "whole"
    whole.mkdir()
    with started(whole, *search, "--format", "json", quick_workers=True) as command:
        assert command.process.wait(300) == 0, command.told()

    def trials(folder: Path) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads((folder / "stdout").read_text())["trials"]
        return found

    assert len(trials(whole)) == 4
    assert trials(tmp_path) == trials(whole)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """A factory that swallows the first one cannot keep the program."""
    stubborn = """
import pathlib, time
from torch import nn
class Stubborn(nn.Module):
    def __init__(self):
        while True:
            try:
                pathlib.Path("begun").write_text("begun")
                time.sleep(1000)
            except KeyboardInterrupt:
                pathlib.Path("swallowed").write_text("swallowed")
"""
    (tmp_path / "stubborn.py").write_text(stubborn)
    path = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    for numbers in ((SIGINT, SIGTERM), (SIGTERM,)):
        for name in ("begun", "swallowed"):
            (tmp_path / name).unlink(missing_ok=True)
        with started(tmp_path, "analyze", "stubborn:Stubborn", **path) as command:
            command.wait_for(has_written("begun"))
            command.process.send_signal(numbers[0])
            command.wait_for(has_written("swallowed"))
            # Alone, it has some seconds; the program ends by itself then.
            if len(numbers) > 1:
                command.end(numbers[1])
            assert command.process.wait(15) == CODES[numbers[0]]
        assert "Traceback" not in command.told()


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "models",
        "models --format html",
        "schema",
        "analyze resnet18 --format json",
        "check --init resnet18",
        "check resnet18 --where bottleneck --max-params=1M",
    ],
)
def test_a_closed_pipe_is_141(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "placement.yaml").write_text("schema: 1\nmodel: resnet18\nwhere: bottleneck\n")
    command = [str(SCRIPT), *arguments.split()]
    reader, writer = os.pipe()
    # As `| true` does, but before the program could print something.
    os.close(reader)
    found = subprocess.run(
        command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert found.returncode == 141, found.stderr
    assert b"error" not in found.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("models --format html", 0),
        ("check --init resnet18", 0),
        ("check resnet18 --where bottleneck --max-params=1M", 1),
    ],
)
def test_a_closed_output_changes_no_exit_code(arguments: str, code: int, tmp_path: Path) -> None:
    """`>&-`: nothing can be said, and files that are written do not take its place."""
    (tmp_path / "placement.yaml").write_text("schema: 1\nmodel: resnet18\nwhere: bottleneck\n")
    command = f"{SCRIPT} {arguments} >&-"
    found = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert found.returncode == code, found.stderr
