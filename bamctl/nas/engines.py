"""The engine that runs trials in processes of this machine."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bamctl.errors import BamctlError
from bamctl.placement.sites import Site
from bamctl.processes.pool import Pool


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
Key = TypeVar("Key")

# A job that takes its process with it so often is no accident.
MOST_ACCIDENTS = 3
ACCIDENT = f"its process ended by force {MOST_ACCIDENTS} times; is there too little memory?"


class Engine(Protocol):
    """Runs jobs, `slots` at a time."""

    slots: int

    def submit(self, job: Job) -> "Future[Outcome]":
        """Begin a job; the future has its outcome, or why there is none."""

    def close(self) -> None:
        """Let go of everything."""


def outcomes(engine: Engine, jobs: Mapping[Key, Job]) -> Iterator[tuple[Key, Outcome]]:
    """Run some jobs, and give the outcome of each as it comes.

    Raises:
        BamctlError: one cannot be trained, or has ended its process by force too often.
    """
    left, pending = deque(jobs), dict[Future[Outcome], Key]()
    accidents: Counter[Key] = Counter()
    while left or pending:
        while left and len(pending) < engine.slots:
            key = left.popleft()
            pending[engine.submit(jobs[key])] = key
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            key = pending.pop(future)
            try:
                yield key, future.result()
            except BrokenProcessPool as error:
                accidents[key] += 1
                if accidents[key] == MOST_ACCIDENTS:
                    raise BamctlError(f"{key}: {ACCIDENT}") from error
                left.append(key)


class LocalEngine:
    """Processes on this machine, each with the data in its memory.

    Args:
        evaluate: what a process does with a job.
        workers: how many processes.
    """

    def __init__(self, evaluate: Evaluate, workers: int) -> None:
        self.slots = workers
        self._evaluate = evaluate
        self._pool = Pool(workers, _begin, evaluate)

    def submit(self, job: Job) -> "Future[Outcome]":
        """Begin a job. A pool that lost a process takes none, and is replaced."""
        try:
            return self._pool.submit(_run, job)
        except BrokenProcessPool:
            self._pool.kill()
            self._pool = Pool(self.slots, _begin, self._evaluate)
            return self._pool.submit(_run, job)

    def close(self) -> None:
        """End the processes."""
        self._pool.kill()


_EVALUATE: list[Evaluate] = []


def _begin(evaluate: Evaluate) -> None:
    """In a process: keep what it does."""
    _EVALUATE[:] = [evaluate]


def _run(job: Job) -> Outcome:
    return _EVALUATE[0](job)
