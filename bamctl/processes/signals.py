"""Ends the program within seconds of SIGINT or SIGTERM, whatever it is doing.

Before and after a command nothing is open, and a signal ends the process at once. While a command
runs, the first signal raises `KeyboardInterrupt` in the main thread, so that files are closed,
child processes ended, and the way to resume is printed. That may take long, in a call of C, in an
import, or in a library that swallows the exception: so a thread ends the process by force after
some seconds, or at a second signal. It is woken by Python's handler in C, which does not wait for
the main thread.

Nothing is imported here that the interpreter has not loaded anyway, or that is large.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 3.0
_SHOW_CURSOR = b"\x1b[?25h"


class _State:
    """State that signal handlers share. All but `ending` is written by the main thread only."""

    caught: set[signal.Signals] = set()  # noqa: RUF012 - one state for the process
    received: int | None = None
    is_interruptible = False
    is_held = False
    is_due = False
    ending = threading.Lock()


def catch() -> None:
    """Handle SIGINT and SIGTERM from now on. Call it once, in the main thread."""
    # What a script starts in the background ignores SIGINT, and that stays.
    caught = {number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN}
    _State.caught = caught
    catch_again()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, caught), daemon=True).start()
    os.register_at_fork(after_in_child=_let_go)
    sys.unraisablehook = _until_received(sys.unraisablehook)
    threading.excepthook = _until_received(threading.excepthook)


def catch_again() -> None:
    """Handle the signals that `catch` took, after a library has put its own handlers in place."""
    for number in _State.caught:
        signal.signal(number, _handle)


def exit_code() -> int | None:
    """The exit code of a program that a signal ends, 130 or 143; None where none has come."""
    return None if _State.received is None else 128 + _State.received


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `KeyboardInterrupt` in this block when a signal comes.

    Raises:
        KeyboardInterrupt: a signal has come, whatever became of the exception on its way.
    """
    _State.is_interruptible = True
    try:
        yield
    finally:
        _State.is_interruptible = False
        if _State.received is not None:
            raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Keep a signal back until the end of this block; processes that begin in it ignore SIGINT.

    A terminal sends SIGINT to children too, before they could say that they leave it to the parent.
    A blocked signal stays blocked in a new program, and in whatever that starts.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    _State.is_held = True
    try:
        yield
    finally:
        _State.is_held = False
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if _State.is_due:
            _State.is_due = False
            raise KeyboardInterrupt


def _handle(number: int, frame: FrameType | None) -> None:
    if not _State.is_interruptible:
        _end(number)
    if _State.received is None:
        _State.received = number
        if not _State.is_held:
            raise KeyboardInterrupt
        _State.is_due = True


def _watch(reader: int, caught: set[signal.Signals]) -> None:
    """Wait for a signal, and then for the end of the process; the pipe has a byte for each."""
    while (number := os.read(reader, 1)[0]) not in caught:
        pass
    # The main thread may have dealt with it before this one came to look.
    if _State.is_interruptible or _State.received is not None:
        select.select([reader], [], [], GRACE_SECONDS)
    _end(number)


def _end(number: int) -> None:
    _State.ending.acquire()
    with suppress(OSError):
        os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + b"bamctl: interrupted\n")
    os._exit(128 + number)


def _let_go() -> None:
    """In a forked process: leave SIGINT to the parent, and its pipe alone."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _until_received(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A hook that prints tracebacks, but none of what a signal has torn."""

    def quiet(error: Any) -> None:
        if _State.received is None:
            hook(error)

    return quiet
