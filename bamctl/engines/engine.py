"""Engines: the protocol, and the one of processes on this machine."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bamctl.errors import BamctlError
from bamctl.processes.pool import Pool

Evaluate = Callable[[Any], Any]
Key = TypeVar("Key")

# A job whose process died this often is considered the cause.
MOST_ACCIDENTS = 3
ACCIDENT = f"its process was killed {MOST_ACCIDENTS} times, possibly for lack of memory"


class Shared(Protocol):
    """A file of the driver that jobs read, wherever they run."""

    def opened(self) -> AbstractContextManager[Path]:
        """Return a context in which the file is on this machine."""


class Engine(Protocol):
    """Executor of jobs, `slots` at a time."""

    slots: int

    def share(self, file: Path) -> Shared:
        """Make a file of the driver available to jobs."""

    def submit(self, job: Any) -> "Future[Any]":
        """Submit a job; the future has its outcome or its exception."""

    def close(self) -> None:
        """Release all resources."""


def outcomes(engine: Engine, jobs: Mapping[Key, Any]) -> Iterator[tuple[Key, Any]]:
    """Run jobs, and yield the outcome of each as it completes.

    Raises:
        BamctlError: a job cannot be trained, or its process has died too often.
    """
    left, pending = deque(jobs), dict[Future[Any], Key]()
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


@dataclass(frozen=True)
class LocalFile:
    """A file that all processes of this machine can read."""

    path: Path

    def opened(self) -> AbstractContextManager[Path]:
        """Return a context with the path."""
        return nullcontext(self.path)


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

    def submit(self, job: Any) -> "Future[Any]":
        """Submit a job; replace a pool that lost a process, which accepts none."""
        try:
            return self._pool.submit(_run, job)
        except BrokenProcessPool:
            self._pool.kill()
            self._pool = Pool(self.slots, _begin, self._evaluate)
            return self._pool.submit(_run, job)

    def share(self, file: Path) -> Shared:
        """Return the file, which the processes read by its path."""
        return LocalFile(file.absolute())

    def close(self) -> None:
        """Stop the processes."""
        self._pool.kill()


_EVALUATE: list[Evaluate] = []


def _begin(evaluate: Evaluate) -> None:
    """Initialize a process with the function that it applies to jobs."""
    _EVALUATE[:] = [evaluate]


def _run(job: Any) -> Any:
    return _EVALUATE[0](job)
