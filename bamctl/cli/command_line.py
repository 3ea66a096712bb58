"""The command line without the passwords of databases, for logs and reports."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bamctl.text import masking

if TYPE_CHECKING:
    from bamctl.report.document import Report

_SECRET = "--storage"


def shown() -> str:
    """Return the running command, without passwords."""
    arguments = sys.argv[1:]
    urls = set(_urls(arguments))
    masked = [
        f"{_SECRET}={masking.url(a.partition('=')[2])}"
        if _is_joined(a)
        else masking.url(a)
        if a in urls
        else masking.free_text(a)
        for a in arguments
    ]
    return shlex.join(["bamctl", *masked])


def without_passwords(text: str) -> str:
    """Remove the passwords of the command line from text, such as a traceback."""
    for url in _urls(sys.argv[1:]):
        text = masking.without(text, url)
    return masking.free_text(text)


def signed(report: "Report") -> "Report":
    """Return a report with the command that made it."""
    return replace(report, command=shown())


def _urls(arguments: Sequence[str]) -> Iterator[str]:
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if before == _SECRET:
            yield argument
        elif _is_joined(argument):
            yield argument.partition("=")[2]


def _is_joined(argument: str) -> bool:
    return argument.startswith(f"{_SECRET}=")
