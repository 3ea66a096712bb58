"""Child processes that take no module from the current folder in place of a library's.

Python looks for the modules of `python -c` in the current folder first, and that is how
`multiprocessing` starts a process: a file there that is called random.py or socket.py would run.
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
    """A context of `multiprocessing` that starts new interpreters with a safe path.

    They are then given the path of this process, on which the current folder may stand at the end.
    """
    if os.name == "posix":
        # A process of its own, which is started with the first lock or queue.
        with safe_path():
            resource_tracker.ensure_running()
    return _Context()


@contextmanager
def safe_path() -> Iterator[None]:
    """Start Python within this, and it does not look for modules in the current folder."""
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
    """The same for Python 3.10, which has no such option, by `python -I`.

    That leaves out the variables of Python, too; the path is this process's all the same.
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
