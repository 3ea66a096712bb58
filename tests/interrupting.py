"""Commands that are interrupted: started in a session of their own, which must be left empty."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import REPOSITORY, SCRIPT
from tests.console import Process

# What is promised is 5 s; a machine that does much else takes longer.
END_SECONDS = 15.0
START_SECONDS = 240.0
OUTPUTS = ("stdout", "stderr")
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


@dataclass
class Command:
    """A command that runs in a folder, with what it prints in files there."""

    process: "subprocess.Popen[bytes] | Process"
    folder: Path

    def processes(self) -> list[psutil.Process]:
        """It and its descendants, without those that have ended and were not waited for."""
        return [each for each in psutil.process_iter() if self._is_alive(each)]

    def _is_alive(self, each: psutil.Process) -> bool:
        with suppress(psutil.Error, ProcessLookupError):
            is_ours = os.getsid(each.pid) == self.process.pid
            return is_ours and each.status() != psutil.STATUS_ZOMBIE
        return False

    def wait_for(self, event: "Event") -> None:
        """Wait for an event, before which it must not end."""
        until = time.monotonic() + START_SECONDS
        while not event(self):
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < until, "it does not come so far"
            time.sleep(0.02)

    def end(self, number: signal.Signals) -> float:
        """Send a signal, SIGINT to all as a terminal does, and return how long all of it lives."""
        start = time.monotonic()
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        while (left := self.processes()) and time.monotonic() < start + END_SECONDS:
            time.sleep(0.02)
        assert not left, [each.cmdline() for each in left]
        return time.monotonic() - start

    def told(self) -> str:
        """What it has printed on standard error."""
        return (self.folder / "stderr").read_text()


Event = Callable[[Command], bool]


@contextmanager
def started(
    folder: Path,
    *arguments: str,
    imports: bool = False,
    quick_workers: bool = False,
    **environment: str,
) -> Iterator[Command]:
    """Start a command; what of it still runs at the end of the block is killed.

    With `imports`, it is an interpreter of its own, which imports torch; with `quick_workers`, its
    workers are none.
    """
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment}
    if imports:
        process: subprocess.Popen[bytes] | Process = _interpreter(arguments, folder, env)
    else:
        process = _fork(arguments, folder, env, quick_workers)
    try:
        yield Command(process, folder)
    finally:
        # The number of a session is not used again while one of its processes is there.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(END_SECONDS)


def _fork(
    arguments: Sequence[str], folder: Path, env: dict[str, str], quick_workers: bool
) -> Process:
    out, err = (os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in OUTPUTS)
    command = [str(SCRIPT), *arguments]
    return Process(command, folder, env, out, err, new_session=True, adopts=quick_workers)


def _interpreter(
    arguments: Sequence[str], folder: Path, env: dict[str, str]
) -> "subprocess.Popen[bytes]":
    out, err = ((folder / name).open("wb") for name in OUTPUTS)
    with out, err:
        return subprocess.Popen(
            [str(SCRIPT), *arguments],
            cwd=folder,
            env=env,
            stdout=out,
            stderr=err,
            start_new_session=True,
            # Tests that run in the background of a script ignore SIGINT, and so would the command.
            preexec_fn=lambda: signal.signal(  # noqa: PLW1509 - sets a handler, no more
                signal.SIGINT, signal.SIG_DFL
            ),
        )


def catches_signals(command: Command) -> bool:
    """SIGTERM is caught, of which Python makes nothing itself: our first lines have run."""
    status = Path(f"/proc/{command.process.pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def imports_torch(command: Command) -> bool:
    """The libraries of torch are being loaded."""
    return "libtorch" in Path(f"/proc/{command.process.pid}/maps").read_text()


def has_children(count: int) -> Event:
    """Child processes are there, which import torch."""
    return lambda command: len(command.processes()) > count


def has_written(name: str) -> Event:
    """A file in its folder is there, and not empty."""
    return lambda command: (path := command.folder / name).exists() and path.stat().st_size > 0


def is_held(command: Command) -> bool:
    """`tests.networks.Held` has trained as long as it was to."""
    return (command.folder / "held").exists()
