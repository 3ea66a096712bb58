"""Whole commands against what a user would run instead, in turn: `python -m tests.benchmarks`.

Machines are shared and no time means much alone: what counts is the ratio within each pair of
neighbouring runs, of which the median is printed. `--json` names a file for every time.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from operator import truediv
from pathlib import Path

BAMCTL = str(Path(sysconfig.get_path("scripts")) / "bamctl")
HERE = Path(__file__).parent
PLACEMENTS = HERE.parent.parent / "placements"
PAIRS = {
    "bamctl analyze resnet50 / ten-line fvcore script": (
        [BAMCTL, "analyze", "resnet50"],
        [sys.executable, str(HERE / "flop_count_table.py")],
    ),
    "bamctl check placements / tracing their networks": (
        [BAMCTL, "check", str(PLACEMENTS)],
        [sys.executable, str(HERE / "trace_placements.py"), str(PLACEMENTS)],
    ),
    "bamctl --help / importing torch": (
        [BAMCTL, "--help"],
        [sys.executable, "-c", "import torch"],
    ),
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(pair: tuple[list[str], list[str]], runs: int) -> dict[str, list[float]]:
    """Times of both commands, in turn, after one run of each that warms the disk cache."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(runs + 1):
        for name, command in zip(times, pair, strict=True):
            taken = seconds(command)
            if number:
                times[name].append(taken)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write every time, in seconds")
    arguments = parser.parse_args()
    found = {name: measure(pair, arguments.runs) for name, pair in PAIRS.items()}
    print(f"{'medians, in seconds':52}{'ours':>8}{'theirs':>8}{'ratio':>8}")
    for name, times in found.items():
        ours, theirs = (statistics.median(times[side]) for side in ("ours", "theirs"))
        ratio = statistics.median(map(truediv, times["ours"], times["theirs"]))
        print(f"{name:52}{ours:8.2f}{theirs:8.2f}{ratio:8.2f}")
    if arguments.json:
        machine = {"machine": platform.platform(), "python": platform.python_version()}
        arguments.json.write_text(json.dumps({**machine, "seconds": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
