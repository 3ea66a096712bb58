"""Processes that work for this one, and end when it ends, however it does."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from bamctl.processes import signals
from bamctl.processes.children import spawn_context

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LOOK_SECONDS = 0.2


class Pool(ProcessPoolExecutor):
    """A pool of fresh interpreters, since threads of torch do not survive a fork.

    They leave SIGINT to this process. An exception that leaves a `with` block kills them.

    Args:
        workers: how many.
        begin: called in each process before its first task.
        arguments: of `begin`.
    """

    def __init__(self, workers: int, begin: Callable[..., None], *arguments: Any) -> None:
        first = partial(_begin, _EndWithParent(), begin, arguments)
        super().__init__(workers, spawn_context(), first)

    def submit(
        self, function: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs
    ) -> "Future[_T]":
        """Begin a task, in a new process where all others are busy."""
        with signals.held():
            return super().submit(function, *arguments, **named)

    def kill(self) -> None:
        """End the processes, whatever they are doing; `kill_workers` in Python 3.14."""
        processes = list((self._processes or {}).values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Wait for the tasks; without them where the block has failed."""
        if kind is not None:
            self.kill()
        self.shutdown()


def end_with(parent: int) -> None:
    """End this process when its parent is gone.

    A killed parent cannot end its children. They look for themselves, as data loaders of torch do.

    Args:
        parent: the process that started this one.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


class _EndWithParent:
    """Begins to watch when it is unpickled: before what follows it, for which torch is imported."""

    def __reduce__(self) -> tuple[Any, ...]:
        return end_with, (os.getpid(),)


def _begin(_: object, begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    begin(*arguments)
