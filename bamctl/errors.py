"""Errors that bamctl raises on purpose, each with its exit code."""

import errno
import os
import re
import signal
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from types import CodeType
from typing import Any

from bamctl.text import masking

NO_MEMORY = "not enough memory"
_LONGEST_VALUE = 100

# Exhausted resources and faults of the machine; every other error number concerns a path.
_MACHINE = frozenset(
    {
        errno.EAGAIN,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
    }
)

# Libraries in Rust and C++ report these in the text of a RuntimeError or an ImportError.
_ERRNO = re.compile(r"\(os error (\d+)\)")
_MEMORY = re.compile(
    "allocate memory|not enough memory|out of memory|bad_alloc|failed to map segment", re.IGNORECASE
)


class BamctlError(Exception):
    """Failure of a measurement. The message is one line with the cause and a remedy."""

    exit_code = 3


class InputError(BamctlError, ValueError):
    """Bad input: usage, configuration, an unknown name, an unreadable file.

    Args:
        message: what is wrong, and what would be right, in one line.
        path: the file that holds it; begins the text of the error, as in `x.yaml:3: message`.
        line: the line in that file, counted from 1.
        key: the outermost key of the configuration that it is under, such as `insertions`.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | None = None,
        line: int | None = None,
        key: str | None = None,
    ) -> None:
        place = ":".join(str(each) for each in (path, line) if each is not None)
        super().__init__(f"{place}: {message}" if place else message)
        self.path, self.line, self.key = path, line, key


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return a ` (did you mean 'x'?)` for a message, or an empty string if no candidate is near.

    >>> did_you_mean("resnet5O", ["resnet50", "vgg16"])
    " (did you mean 'resnet50'?)"
    >>> did_you_mean("teapot", ["resnet50", "vgg16"])
    ''
    """
    if len(word) > _LONGEST_VALUE:
        return ""  # too long for a typo; the comparison takes quadratic time
    near = get_close_matches(word, list(candidates), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def shown(value: object) -> str:
    """Format a value for a message, truncated if it is long.

    >>> shown("cat"), shown("9" * 5000)[-4:]
    ("'cat'", '999…')
    """
    # Mask first: truncation may remove the text that identifies a password.
    text = masking.free_text(repr(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, for a message of one line.

    >>> first_line(ValueError("too large")), first_line(AssertionError()), first_line(KeyError("x"))
    ('too large', 'AssertionError', "KeyError: 'x'")
    """
    name = type(error).__name__
    text = next((line.strip() for line in _text(error).splitlines() if line.strip()), name)
    # The text of a KeyError is only the key; that of a SystemExit is a number.
    is_bare = isinstance(error, KeyError) or not isinstance(error, Exception)
    return f"{name}: {text}" if is_bare and text != name else text


def _text(error: BaseException) -> str:
    """Return the text of an error, empty if its `__str__`, which may be user-defined, fails."""
    try:
        return str(error)
    except Exception:
        return ""


def described(error: BaseException) -> str:
    """Return the type of an error, and the first line of its text.

    >>> described(ValueError("too large")), described(AssertionError())
    ('ValueError: too large', 'AssertionError')
    """
    name, text = type(error).__name__, first_line(error)
    return text if text.startswith(name) else f"{name}: {text}"


def let_through(error: BaseException) -> None:
    """Reraise an error that a signal handler raised, such as one that enforces a time limit.

    It belongs to the caller that installed the handler, not to the interrupted code.
    """
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    reason: BaseException | None = error
    while reason is not None:
        if any(frame.f_code in handlers for frame, _ in traceback.walk_tb(reason.__traceback__)):
            raise error
        reason = reason.__cause__ or reason.__context__


def _code(handler: Any) -> CodeType | None:
    """Return the code object of a signal handler, if it is written in Python."""
    handler = getattr(handler, "func", handler)  # of a `functools.partial`
    if not hasattr(handler, "__code__"):
        handler = getattr(handler, "__call__", None)  # noqa: B004 - for its code, not a test
    return getattr(handler, "__code__", None)


def machine_fault(error: BaseException) -> str | None:
    """Return what the machine lacked if that caused an error, else None.

    Covers a full disk, a quota, a file size limit, a failing device, too many open files, and
    memory that PyTorch, NumPy or the dynamic linker could not get.

    >>> machine_fault(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device'
    >>> machine_fault(FileNotFoundError(errno.ENOENT, "No such file or directory")) is None
    True
    """
    return next(filter(None, map(_lacking, _chain(error))), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _lacking(error: BaseException) -> str | None:
    if isinstance(error, InputError):
        return None
    text = _text(error)
    found = _ERRNO.search(text)
    number = error.errno if isinstance(error, OSError) else found and int(found[1])
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _MEMORY.search(text):
        return NO_MEMORY
    return os.strerror(number) if number in _MACHINE else None


def check_machine(error: BaseException, what: str, then: str = "") -> None:
    """Raise a BamctlError if the machine caused an error.

    Args:
        error: the exception, raised by user code or for user data.
        what: the failed operation, such as `cannot read x.png`.
        then: the consequence, at the end of the message.

    Raises:
        BamctlError: the machine lacked something.
    """
    lacking = machine_fault(error)
    if lacking is not None:
        raise BamctlError(f"{what}: {lacking}{then}") from error


def blame(error: BaseException, what: str, why: str | None = None) -> BamctlError:
    """Return the error to raise for another one: an InputError unless the machine caused it.

    Args:
        error: the exception.
        what: the failed operation, such as `cannot write x.yaml`.
        why: the reason, if it is the input; the first line of the error if left out.

    >>> blame(OSError(errno.ENOSPC, "No space left on device"), "cannot write x").exit_code
    3
    >>> blame(IsADirectoryError(errno.EISDIR, "Is a directory"), "cannot write x")
    InputError('cannot write x: Is a directory')
    """
    lacking = machine_fault(error)
    if lacking is not None:
        return BamctlError(f"{what}: {lacking}")
    return InputError(f"{what}: {why or getattr(error, 'strerror', None) or first_line(error)}")


@contextmanager
def appended(advice: str) -> Iterator[None]:
    """Append a remark, if any, to the message of an error raised in this block.

    >>> with appended("the rest is kept"):
    ...     raise InputError("cannot write x")
    Traceback (most recent call last):
    bamctl.errors.InputError: cannot write x; the rest is kept
    """
    try:
        yield
    except BamctlError as error:
        longer = type(error)("; ".join(filter(None, (str(error), advice))))
        vars(longer).update(vars(error))
        raise longer from error
