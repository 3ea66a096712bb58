"""Where trials run: on processes of this machine, which take a job and give its outcome."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from bamctl.sites import Site


@dataclass(frozen=True)
class Job:
    """A network to train: what is inserted, for how many steps, and with which seeds."""

    sites: tuple[Site, ...]
    steps: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """The accuracy of the held-out images after the last step, one for each seed."""

    accuracy: tuple[float, ...]
    diverged: int
    seconds: float


Evaluate = Callable[[Job], Outcome]


class Engine(Protocol):
    """Runs jobs, `slots` at a time."""

    slots: int

    def submit(self, job: Job) -> "Future[Outcome]":
        """Begin a job; the future has its outcome, or why there is none."""

    def close(self) -> None:
        """Let go of everything."""


class LocalEngine:
    """Processes on this machine, each with the data in its memory.

    Args:
        evaluate: what a process does with a job.
        workers: how many processes.
    """

    def __init__(self, evaluate: Evaluate, workers: int) -> None:
        self.slots = workers
        self._evaluate = evaluate
        self._pool = self._start()

    def submit(self, job: Job) -> "Future[Outcome]":
        """Begin a job. A pool that lost a process takes none, and is replaced."""
        try:
            return self._pool.submit(_run, job)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._start()
            return self._pool.submit(_run, job)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> ProcessPoolExecutor:
        # Torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.slots, context, _begin, (self._evaluate,))


_EVALUATE: list[Evaluate] = []


def _begin(evaluate: Evaluate) -> None:
    """In a process: keep what it does, and end when the driver does."""
    _EVALUATE[:] = [evaluate]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    driver: Any = multiprocessing.parent_process()
    driver.join()
    os._exit(1)


def _run(job: Job) -> Outcome:
    return _EVALUATE[0](job)
