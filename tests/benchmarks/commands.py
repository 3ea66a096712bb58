"""Whole commands against what a user would run instead."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.ratios import Ratio, in_turn

BAMCTL = str(Path(sysconfig.get_path("scripts")) / "bamctl")
HERE = Path(__file__).parent
PLACEMENTS = HERE.parent.parent / "placements"
# Each with what its ratio is to be at most.
PAIRS: dict[str, tuple[list[str], list[str], float | None]] = {
    "bamctl analyze resnet50 / ten-line fvcore script": (
        [BAMCTL, "analyze", "resnet50", "--no-cache"],
        [sys.executable, str(HERE / "flop_count_table.py")],
        0.95,
    ),
    "bamctl analyze resnet50 from the cache / ten-line fvcore script": (
        [BAMCTL, "analyze", "resnet50"],
        [sys.executable, str(HERE / "flop_count_table.py")],
        0.12,
    ),
    "bamctl check placements / tracing their networks": (
        [BAMCTL, "check", str(PLACEMENTS)],
        [sys.executable, str(HERE / "trace_placements.py"), str(PLACEMENTS)],
        None,
    ),
    "bamctl --help / importing torch": (
        [BAMCTL, "--help"],
        [sys.executable, "-c", "import torch"],
        None,
    ),
}


def measure(runs: int) -> Iterator[Ratio]:
    """The time of each pair."""
    for name, (ours, theirs, limit) in PAIRS.items():
        run = partial(subprocess.run, check=True, capture_output=True)
        yield in_turn(name, partial(run, ours), partial(run, theirs), runs, limit)
