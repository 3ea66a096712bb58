"""What the program says of errors that are not its own, and of other libraries' warnings."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from bamctl.cli.options.shared import say
from bamctl.errors import BamctlError, InputError, first_line, machine_fault


def explained(error: BaseException) -> BamctlError | None:
    """The error as one of ours, with its exit code; None where it is a bug."""
    if isinstance(error, BamctlError):
        return error
    lacking = machine_fault(error)
    name = getattr(error, "filename", None)
    at = "" if name is None else f": {name}"
    if lacking is not None:
        return BamctlError(f"{lacking}{at}")
    if isinstance(error, OSError):
        # A path comes from the person, a socket or a device from the machine.
        kind = BamctlError if name is None else InputError
        return kind(f"{error.strerror or first_line(error)}{at}")
    if not isinstance(error, Exception):
        # Neither we nor our libraries raise such a one.
        what = f"{type(error).__name__}: {first_line(error)}"
        return InputError(f"the network's own code ended the program by {what}")
    return None


@contextmanager
def warnings_held() -> Iterator[None]:
    """Hold other libraries' warnings until the command has ended well.

    An error is one line, which warnings of several lines before it would hide.
    """
    with warnings.catch_warnings(record=True) as held:
        yield
    for text in dict.fromkeys(str(each.message) for each in held):
        say(f"warning: {text}")
