"""Signal handling: exit within seconds of SIGINT or SIGTERM, whatever the program is doing.

Before and after a command nothing is open, and a signal exits at once. While a command runs, the
first signal raises `KeyboardInterrupt` in the main thread, so that files are closed, child
processes ended, and the command to resume is printed. A C call, an import or a library that
swallows the exception may delay that, so a thread forces the exit after `GRACE_SECONDS`, or at a
second signal. Python's C handler wakes it by the wakeup fd, without waiting for the main thread.

Only small modules of the standard library are imported here.
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
    """Install handlers of SIGINT and SIGTERM. Call it once, in the main thread."""
    # A shell script's background jobs ignore SIGINT; keep that.
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
    """Reinstall the handlers of `catch`, after a library has replaced them."""
    for number in _State.caught:
        signal.signal(number, _handle)


def exit_code() -> int | None:
    """Return the exit code after a signal, 130 or 143, or None if none was received."""
    return None if _State.received is None else 128 + _State.received


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `KeyboardInterrupt` in this block when a signal is received.

    Raises:
        KeyboardInterrupt: a signal was received, even if a library swallowed the exception.
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
    """Defer signals to the end of this block, and block SIGINT in processes started in it.

    A terminal sends SIGINT to children too, before they could set a handler. A child inherits the
    signal mask, and so do its own children.
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
    """Wait for a signal, then for a second one or the timeout; the pipe has a byte for each."""
    while (number := os.read(reader, 1)[0]) not in caught:
        pass
    # The main thread may have handled it before this thread woke.
    if _State.is_interruptible or _State.received is not None:
        select.select([reader], [], [], GRACE_SECONDS)
    _end(number)


def _end(number: int) -> None:
    _State.ending.acquire()
    with suppress(OSError):
        os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + b"bamctl: interrupted\n")
    os._exit(128 + number)


def _let_go() -> None:
    """Reset the handlers of a forked process: ignore SIGINT, and detach from the parent's pipe."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _until_received(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Wrap an exception hook so that it prints nothing once a signal was received."""

    def quiet(error: Any) -> None:
        if _State.received is None:
            hook(error)

    return quiet
