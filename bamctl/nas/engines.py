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
    """A network to train: the sites, the number of steps, and the seeds."""

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

# A job whose process died this often is considered the cause.
MOST_ACCIDENTS = 3
ACCIDENT = f"its process was killed {MOST_ACCIDENTS} times, possibly for lack of memory"


class Engine(Protocol):
    """Executor of jobs, `slots` at a time."""

    slots: int

    def submit(self, job: Job) -> "Future[Outcome]":
        """Submit a job; the future has its outcome or its exception."""

    def close(self) -> None:
        """Release all resources."""


def outcomes(engine: Engine, jobs: Mapping[Key, Job]) -> Iterator[tuple[Key, Outcome]]:
    """Run jobs, and yield the outcome of each as it completes.

    Raises:
        BamctlError: a job cannot be trained, or its process has died too often.
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
    """Engine of processes on this machine, each with the data in its memory.

    Args:
        evaluate: the function that a process applies to a job.
        workers: the number of processes.
    """

    def __init__(self, evaluate: Evaluate, workers: int) -> None:
        self.slots = workers
        self._evaluate = evaluate
        self._pool = Pool(workers, _begin, evaluate)

    def submit(self, job: Job) -> "Future[Outcome]":
        """Submit a job; replace a pool that lost a process, which accepts none."""
        try:
            return self._pool.submit(_run, job)
        except BrokenProcessPool:
            self._pool.kill()
            self._pool = Pool(self.slots, _begin, self._evaluate)
            return self._pool.submit(_run, job)

    def close(self) -> None:
        """Stop the processes."""
        self._pool.kill()


_EVALUATE: list[Evaluate] = []


def _begin(evaluate: Evaluate) -> None:
    """Initialize a process with the function that it applies to jobs."""
    _EVALUATE[:] = [evaluate]


def _run(job: Job) -> Outcome:
    return _EVALUATE[0](job)
