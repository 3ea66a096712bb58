"""`bamctl analyze --all` against the plain loop over the same builders: time and peak memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.commands import BAMCTL
from tests.benchmarks.ratios import Ratio, in_turn

OURS = [BAMCTL, "analyze", "--all", "--format", "csv", "--no-cache"]
THEIRS = [sys.executable, str(Path(__file__).parent / "plain_sweep.py")]


def measure(runs: int) -> Iterator[Ratio]:
    """Both, of each of the runs."""
    peaks: dict[int, list[float]] = {0: [], 1: []}
    sides = [lambda: peaks[0].append(_peak(OURS)), lambda: peaks[1].append(_peak(THEIRS))]
    # Processes of their own, which keep nothing warm from one to the next.
    yield in_turn("bamctl analyze --all / plain loop", *sides, runs, 0.20, warm_ups=0)
    yield Ratio("bamctl analyze --all peak memory / plain loop", "MB", *peaks.values(), 0.25)


def _peak(command: list[str]) -> float:
    """The most memory that a command had, in megabytes."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed")
    return usage.ru_maxrss / 1000
