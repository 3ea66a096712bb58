"""Commands that are interrupted at many moments of their life, by time.

    python -m tests.benchmarks.signals [COMMAND...] [--moments 10]

Each command runs once to its end; then SIGINT and SIGTERM are sent at moments that are spread over
that time, from its first lines on. The longest time that a process of it lived on is printed, which
is to be under 5 s on a machine that does nothing else; training and searches are resumed, and their
results compared with those of the run that was not interrupted.
"""

import argparse
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.interrupting import CODES, Command, catches_signals, started

TRUST = ["--trust", "tests.networks:Tiny"]  # its code is in no project of the folder's
TRAIN = ["tests.networks:Tiny", "--batch-size", "32", "--steps", "300", "--eval-every", "50"]
SEARCH = ["tests.networks:Tiny", "--batch-size", "32", "--steps", "60", "--workers", "1"]
COMMANDS: dict[str, list[str]] = {
    "analyze": ["analyze", "resnet50", "--no-cache"],
    "sweep": ["analyze", "--family", "detection", "--all", "--jobs", "2"],
    "insert": ["insert", "resnet18", "--out", "network.py"],
    "insert-onnx": ["insert", "resnet18", "--out", "network.onnx"],
    "insert-pt2": ["insert", "resnet18", "--out", "network.pt2"],
    "latency": ["latency", "resnet18"],
    "check": ["check", "resnet50", "--where", "bottleneck", "--max-params", "+2 %"],
    "calibrate": ["calibrate"],
    "models": ["models", "--format", "html"],
    "train": ["train", *TRAIN, "--out", "run", "--format", "csv"],
    "train-workers": ["train", *TRAIN, "--workers", "2", "--out", "run", "--format", "csv"],
    "search": ["search", *SEARCH, "--trials", "4", "--out", "run", "--format", "csv"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)}")
    parser.add_argument("--moments", type=int, default=10)
    options = parser.parse_args()
    print(f"{'command':16}{'signal':>9}{'moments':>9}{'ended before':>14}{'longest s':>11}  faults")
    for name in options.commands or COMMANDS:
        whole, seconds = _uninterrupted(COMMANDS[name])
        for number in (signal.SIGINT, signal.SIGTERM):
            _row(name, number, options.moments, seconds, whole)


# An interpreter of its own, so that imports are among the moments.
_started = partial(started, imports=True)


def _uninterrupted(arguments: list[str]) -> tuple[str, float]:
    """What a command prints, and how long it takes from its first lines on."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _started(Path(folder), *arguments) as command,
    ):
        command.wait_for(catches_signals)
        start = time.monotonic()
        command.process.wait()
        return (Path(folder) / "stdout").read_text(), time.monotonic() - start


def _row(name: str, number: signal.Signals, moments: int, seconds: float, whole: str) -> None:
    longest, over, faults = 0.0, 0, []
    for moment in range(moments):
        after = seconds * moment / moments
        with tempfile.TemporaryDirectory() as folder:
            with _started(Path(folder), *COMMANDS[name]) as command:
                lived = _interrupted(command, number, after)
            over += lived is None
            longest = max(longest, lived or 0.0)
            faults += [f"at {after:.1f} s: {fault}" for fault in _faults(command, number, whole)]
    print(f"{name:16}{number.name:>9}{moments:9}{over:14}{longest:11.2f}  {'; '.join(faults)}")


def _interrupted(command: Command, number: signal.Signals, after: float) -> float | None:
    """How long it lived on, or None where it had come to its end."""
    command.wait_for(catches_signals)
    time.sleep(after)
    if command.process.poll() is not None:
        return None
    return command.end(number)


def _faults(command: Command, number: signal.Signals, whole: str) -> list[str]:
    told, code = command.told(), command.process.returncode
    faults = ["a traceback"] if "Traceback" in told else []
    if code not in (CODES[number], 0):
        faults.append(f"exit code {code}")
    name = str(command.process.args[1])  # type: ignore[index]
    if (command.folder / "run" / "config.yaml").exists() and code:
        resume = [name, "--resume", "run", "--format", "csv", *TRUST]
        with _started(command.folder, *resume) as again:
            again.process.wait()
        if (command.folder / "stdout").read_text() != whole:
            faults.append(f"resumed to another result ({again.told()})")
    return faults


if __name__ == "__main__":
    main()
