"""The errors that bamctl raises on purpose, each with the exit code that it means."""

from collections.abc import Iterable
from difflib import get_close_matches


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
    """The first line of an error's text, for a message that must stay on one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no details")
