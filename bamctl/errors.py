"""The errors that bamctl raises on purpose, each with the exit code that it means."""

import signal
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from types import CodeType
from typing import Any


class BamctlError(Exception):
    """Something could not be measured. One line of text says what and what would cure it."""

    exit_code = 3


class InputError(BamctlError, ValueError):
    """What was asked for is wrong: usage, configuration, an unknown name, an unreadable file."""

    exit_code = 2


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A ` (did you mean 'x'?)` to append to a message, or nothing when no candidate is near.

    >>> did_you_mean("resnet5O", ["resnet50", "vgg16"])
    " (did you mean 'resnet50'?)"
    >>> did_you_mean("teapot", ["resnet50", "vgg16"])
    ''
    """
    near = get_close_matches(word, list(candidates), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for a message that must stay on one line.

    >>> first_line(ValueError("too large")), first_line(AssertionError()), first_line(KeyError("x"))
    ('too large', 'AssertionError', "KeyError: 'x'")
    """
    name = type(error).__name__
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), name)
    # The text of a KeyError is the key, and no more.
    return f"{name}: {text}" if isinstance(error, KeyError) and text != name else text


def described(error: BaseException) -> str:
    """The type of an error, and the first line of its text.

    >>> described(ValueError("too large")), described(AssertionError())
    ('ValueError: too large', 'AssertionError')
    """
    name, text = type(error).__name__, first_line(error)
    return text if text.startswith(name) else f"{name}: {text}"


def let_through(error: BaseException) -> None:
    """Raise an error again that a signal handler raised, as one does that limits the time.

    It belongs to who installed the handler, and says nothing of the code that it interrupted.
    """
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    reason: BaseException | None = error
    while reason is not None:
        if any(frame.f_code in handlers for frame, _ in traceback.walk_tb(reason.__traceback__)):
            raise error
        reason = reason.__cause__ or reason.__context__


def _code(handler: Any) -> CodeType | None:
    """The code that a signal handler runs, if it is written in Python."""
    handler = getattr(handler, "func", handler)  # of a `functools.partial`
    if not hasattr(handler, "__code__"):
        handler = getattr(handler, "__call__", None)  # noqa: B004 - for its code, not a test
    return getattr(handler, "__code__", None)
