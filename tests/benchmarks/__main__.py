"""Ours against what a user would run instead: `python -m tests.benchmarks [SUITE...]`.

Machines are shared and no time means much alone: what counts is the ratio within each pair of
neighbouring runs, of which the median is printed, beside what it is to be at most. `--json` names a
file for every run.
"""

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from tests.benchmarks import commands, module, sweep, training_step, waits

SUITES = {
    "module": module,
    "training-step": training_step,
    "commands": commands,
    "waits": waits,
    "sweep": sweep,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write every run")
    arguments = parser.parse_args()
    print(f"{'medians':66}{'ours':>10}{'theirs':>10}{'ratio':>12}{'limit':>8}")
    found = []
    for name in arguments.suites or SUITES:
        for ratio in SUITES[name].measure(arguments.runs):
            print(ratio.row(), flush=True)
            found.append({"suite": name, "ratio": ratio.value, **asdict(ratio)})
    if arguments.json:
        machine = {"machine": platform.platform(), "torch": torch.__version__}
        data = {**machine, "threads": torch.get_num_threads(), "ratios": found}
        arguments.json.write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
