"""Messages beside the results: one line on standard error, and what is being done."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from bamctl.cli.streams import results_apart
from bamctl.text import escapes, masking

if TYPE_CHECKING:
    from rich.text import Text


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Say what takes a few seconds, on a terminal; stay quiet in a pipe.

    Gives what changes the words, for work of several parts.

    Garbage is not collected meanwhile. Most of a short command's time is the import of torch and
    torchvision; all that they make stays, and looking through it for garbage, over and over, is a
    tenth of that time.
    """
    gc.disable()
    try:
        with results_apart(), _status(what) as status:
            yield lambda text: status.update(_status_text(text)) if status else None
    finally:
        gc.enable()


def _status(what: str) -> AbstractContextManager[Any]:
    if sys.stderr is None or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(_status_text(what))


def _status_text(what: str) -> "Text":
    from rich.text import Text

    return Text(escapes.line(what))


def say(text: str) -> None:
    """A line for the person, beside the result."""
    text = escapes.line(masking.free_text(" ".join(text.split())))
    # It may be closed, or full; the exit code still tells.
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"bamctl: {text}\n")
        sys.stderr.flush()
