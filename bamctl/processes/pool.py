"""Worker processes that exit when their parent does, even if it is killed."""

import gc
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache, partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from bamctl.processes import signals
from bamctl.processes.children import spawn_context

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LOOK_SECONDS = 0.2
# Python 3.10 waits for ever for a task that is larger than the pipe to a killed process.
_END_SECONDS = 2.0


class Pool(ProcessPoolExecutor):
    """A process pool of spawned interpreters, since torch's threads do not survive a fork.

    The workers ignore SIGINT. An exception that leaves a `with` block kills them.

    Args:
        workers: number of processes.
        begin: initializer, called in each process before its first task.
        arguments: arguments of `begin`.
    """

    def __init__(self, workers: int, begin: Callable[..., None], *arguments: Any) -> None:
        first = partial(_begin, _EndWithParent(), begin, arguments)
        super().__init__(workers, spawn_context(), first)

    def submit(
        self, function: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> "Future[_T]":
        """Submit a task; start a new process if all others are busy."""
        with signals.held():
            return super().submit(collected, function, *arguments, **named)

    def kill(self) -> None:
        """Kill the processes at once; `kill_workers` in Python 3.14."""
        processes = list((self._processes or {}).values())
        manager: Any = self._executor_manager_thread
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        if manager is not None:
            # An interpreter that exits meanwhile may write to the pipe that this thread closes.
            manager.join(_END_SECONDS)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Wait for the tasks, or kill the processes if the block raised."""
        if kind is not None:
            self.kill()
        self.shutdown()


def collected(function: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Run a task of a worker process, and collect the reference cycles that it leaves."""
    try:
        return function(*arguments, **named)
    finally:
        gc.collect()
        _exclude_what_is_there()


@cache
def _exclude_what_is_there() -> None:
    """Exclude libraries, which the first task has imported, from all later collections.

    Once only, since garbage that is excluded is never freed.
    """
    gc.freeze()


def end_with(parent: int) -> None:
    """Exit this process when its parent is gone.

    A killed parent cannot end its children, so they poll, as workers of torch's data loaders do.

    Args:
        parent: process id of the parent.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


class _EndWithParent:
    """Object that starts `end_with` when unpickled: before what follows it, which imports torch."""

    def __reduce__(self) -> tuple[Any, ...]:
        return end_with, (os.getpid(),)


def _begin(_: object, begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    begin(*arguments)
