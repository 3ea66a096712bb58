"""Messages on standard error, apart from results: single lines, and a status."""

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
    """Show a status while work runs, on a terminal only.

    Yields a function that replaces the text, for work of several parts.

    Disables garbage collection meanwhile. A short command spends most of its time importing torch
    and torchvision, whose objects stay alive; scanning them repeatedly takes a tenth of that time.
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
    """Print one line for the user on standard error."""
    text = escapes.line(masking.free_text(" ".join(text.split())))
    # The stream may be closed or full; the exit code still reports the result.
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"bamctl: {text}\n")
        sys.stderr.flush()
