"""Errors and warnings of other libraries, in one line each."""

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bamctl
from bamctl.cli.messages import say
from bamctl.errors import BamctlError, InputError, described, first_line, machine_fault
from bamctl.networks.trust import is_of_a_person


def explained(error: BaseException) -> BamctlError | None:
    """Convert an error to a BamctlError, which has an exit code; return None for a bug."""
    if isinstance(error, BamctlError):
        return error
    lacking = machine_fault(error)
    name = getattr(error, "filename", None)
    at = "" if name is None else f": {name}"
    if lacking is not None:
        return BamctlError(f"{lacking}{at}")
    if isinstance(error, OSError):
        # A path is user input; a socket or a device belongs to the machine.
        kind = BamctlError if name is None else InputError
        return kind(f"{error.strerror or first_line(error)}{at}")
    why = _fault_of_the_network(error)
    return None if why is None else InputError(why)


def _fault_of_the_network(error: BaseException) -> str | None:
    """Return how the user's network caused an error, or None if it did not."""
    if isinstance(error, RecursionError):
        return "the network is nested too deeply, or one of its modules contains itself"
    if not isinstance(error, Exception):
        # Neither bamctl nor its dependencies raise such an exception.
        return f"the network's own code ended the program by {first_line(error)}"
    where = _where_of_a_person(error)
    return where and f"the network's own code failed at {where}: {described(error)}"


def _where_of_a_person(error: BaseException) -> str | None:
    """Return the file and line of user code that raised an error, or None if bamctl raised it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    package = Path(bamctl.__file__).parent
    for frame, line in reversed(frames):
        file = Path(frame.f_code.co_filename)
        if is_of_a_person(file):
            return f"{file.name}:{line}"
        if file.is_relative_to(package):
            return None
    return None


@contextmanager
def warnings_held() -> Iterator[None]:
    """Delay warnings of other libraries until the command has succeeded.

    An error is one line, which warnings of several lines would hide.
    """
    with warnings.catch_warnings(record=True) as held:
        yield
    for text in dict.fromkeys(str(each.message) for each in held):
        say(f"warning: {text}")
