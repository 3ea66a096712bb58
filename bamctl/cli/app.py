"""The `bamctl` program: its commands, and the one place where errors become exit codes."""

import atexit
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer

from bamctl import __version__
from bamctl.cli import command_line
from bamctl.cli.faults import explained, warnings_held
from bamctl.cli.messages import say
from bamctl.cli.options.expand import expanded
from bamctl.cli.overview import COMMANDS, Overview
from bamctl.errors import InputError
from bamctl.processes import signals

# The exit code that shells report for a program killed by SIGPIPE: 128 + 13.
CLOSED_PIPE = 141
# A shell that requests completions sets this, and does not pass the words as arguments.
_COMPLETION = "_BAMCTL_COMPLETE"


def app(arguments: Sequence[str], **settings: Any) -> Any:
    """Build and run the typer application.

    Only the command that the arguments name has its options, since those of attention modules are
    made from the settings of all kinds, which takes longer than the help of the program.
    """
    made = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    made.callback(cls=Overview, invoke_without_command=True)(program)
    for command in COMMANDS:
        is_meant = command.__name__ in arguments or _COMPLETION in os.environ
        made.command()(expanded(command) if is_meant else _without_options(command))
    return made(list(arguments), **settings)


def _without_options(command: Callable[..., int]) -> Callable[[], int]:
    """Return a stand-in for a command of which only the name and the help are needed."""

    def unused() -> int:
        raise NotImplementedError

    unused.__name__, unused.__doc__ = command.__name__, command.__doc__
    return unused


def program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Where an attention module goes in a network, what it costs there, and whether it helps."""
    if version:
        print(f"bamctl {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    try:
        with signals.interruptible(), warnings_held():
            _refuse_empty(arguments)
            code = app(arguments, prog_name="bamctl", standalone_mode=False)
            print(end="", flush=True)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return signals.exit_code() or 130
    except BaseException as error:  # the error boundary
        # typer and click turn a closed pipe into exit code 1.
        if any(isinstance(each, BrokenPipeError) for each in (error, error.__context__)):
            return CLOSED_PIPE
        return _said(error, arguments)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Raise for an empty argument, as of an unset variable; as a path it means the current folder.

    Raises:
        InputError: one is empty.
    """
    for before, word in pairwise(("", *arguments)):
        option, equals, value = word.partition("=")
        if not word and before.startswith("--"):
            raise InputError(f"{before} is empty; give a value, or leave it out")
        if option.startswith("--") and equals and not value:
            raise InputError(f"{option} is empty; give a value, or leave it out")
        if not word:
            raise InputError("an argument is empty; give a value, or leave it out")


def _said(error: BaseException, arguments: Sequence[str]) -> int:
    """Print an error in one line, and return its exit code."""
    # typer bundles click since 0.26; errors of either copy have this method.
    message = getattr(error, "format_message", None)
    if callable(message):
        text = " ".join(message().split()).replace("Value error, ", "").rstrip(".")
        names = {each.__name__ for each in COMMANDS}
        command = next((word for word in arguments if word in names), "")
        say(f"error: {text}; see `{' '.join(filter(None, ('bamctl', command, '--help')))}`")
        return 2
    known = explained(error)
    if known is not None:
        say(f"error: {known}")
        return known.exit_code
    say(f"error: a bug in bamctl: {type(error).__name__}; please report it with {_logged(error)}")
    return 3


def _logged(error: BaseException) -> str:
    try:
        handle, path = tempfile.mkstemp(prefix="bamctl-", suffix=".log", text=True)
        with os.fdopen(handle, "w", encoding="utf-8") as log:
            log.write(f"bamctl {__version__}, Python {sys.version}, {command_line.shown()}\n")
            log.write(command_line.without_passwords("".join(traceback.format_exception(error))))
    except OSError as full:
        return f"what you did; a log cannot be written: {full.strerror}"
    return f"the log at {path}"


def main() -> NoReturn:
    """Run the program on the arguments of the process, and end it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A file name or a terminal that is not UTF-8 must not stop a report.
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # absent, full or closed
            stream.flush()
    # Skip the second that the interpreter takes to free the objects of torch one by one.
    os._exit(code)
