"""Child processes whose imports the current folder cannot shadow.

`multiprocessing` starts processes by `python -c`, which puts the current folder first on the path:
a file there named random.py or socket.py would be imported.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker, util
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_OPTION = "PYTHONSAFEPATH"


def spawn_context() -> SpawnContext:
    """Return a `multiprocessing` context that spawns interpreters with a safe path.

    They inherit `sys.path` of this process, where the current folder may come last.
    """
    if os.name == "posix":
        # A separate process, otherwise started with the first lock or queue.
        with safe_path():
            resource_tracker.ensure_running()
    return _Context()


@contextmanager
def safe_path() -> Iterator[None]:
    """Keep the current folder off the path of interpreters that are started in this block."""
    with _option_set() if sys.version_info >= (3, 11) else isolated():
        yield


@contextmanager
def _option_set() -> Iterator[None]:
    before = os.environ.get(_OPTION)
    os.environ[_OPTION] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_OPTION]
        else:
            os.environ[_OPTION] = before


@contextmanager
def isolated() -> Iterator[None]:
    """Do the same on Python 3.10, which lacks that variable, by `python -I`.

    That also ignores the PYTHON* environment variables; `sys.path` is inherited all the same.
    """
    known: Any = util
    flags = known._args_from_interpreter_flags
    known._args_from_interpreter_flags = lambda: ["-I", *flags()]
    try:
        yield
    finally:
        known._args_from_interpreter_flags = flags


class _Process(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - the name is multiprocessing's
        with safe_path():
            return SpawnProcess._Popen(process_obj)


class _Context(SpawnContext):
    Process = _Process
