"""Runs of `train` side by side against one after the other, on the cores of this machine.

    python -m tests.benchmarks.workers [RUNS]

The results are the same, which is compared, too. Two workers on two cores are to take at most 0.65
of the time.
"""

import sys
import tempfile
from itertools import count
from pathlib import Path

import bamctl
from tests.benchmarks.ratios import in_turn

STEPS, SEEDS, LIMIT = 60, 4, 0.65


def main(runs: int = 3) -> None:
    """Print the ratio."""
    numbers = count()
    folder = Path(tempfile.mkdtemp(prefix="bamctl-workers-"))
    metrics = set()

    def train(workers: int) -> None:
        out = folder / f"run-{next(numbers)}"
        bamctl.train("resnet18", steps=STEPS, seeds=SEEDS, workers=workers, out=out)
        metrics.add((out / "metrics.jsonl").read_bytes())

    name = f"bamctl train resnet18, {2 * SEEDS} runs of {STEPS} steps: 2 workers / 1"
    print(in_turn(name, lambda: train(2), lambda: train(1), runs, LIMIT, warm_ups=0).row())
    assert len(metrics) == 1, "the metrics differ"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
