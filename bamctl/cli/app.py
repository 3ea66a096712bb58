"""The `bamctl` program: its commands, and the one place where errors become exit codes."""

import atexit
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from bamctl import __version__
from bamctl.cli import command_line
from bamctl.cli.analyze import analyze
from bamctl.cli.attend import attend
from bamctl.cli.calibrate import calibrate
from bamctl.cli.check import check
from bamctl.cli.insert import insert
from bamctl.cli.latency import latency
from bamctl.cli.models import models
from bamctl.cli.options import expanded, say
from bamctl.cli.report import report
from bamctl.cli.schema import schema
from bamctl.cli.search import search
from bamctl.cli.train import train
from bamctl.errors import BamctlError

app = typer.Typer(
    help="Where an attention module goes in a network, what it costs there, and whether it helps.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
COMMANDS = (
    models,
    analyze,
    insert,
    latency,
    train,
    search,
    attend,
    check,
    report,
    calibrate,
    schema,
)
for command in COMMANDS:
    app.command()(expanded(command))


@app.callback(invoke_without_command=True)
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
        code = app(list(arguments), prog_name="bamctl", standalone_mode=False)
        print(end="", flush=True)
        return code if isinstance(code, int) else 0
    except BamctlError as error:
        say(f"error: {' '.join(str(error).split())}")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        # A full disk, too many open files: nothing that a log of ours would explain.
        say(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return 3
    except Exception as error:  # the error boundary
        return _usage_or_bug(error, arguments)


def _usage_or_bug(error: Exception, arguments: Sequence[str]) -> int:
    # typer carries its own click since 0.26 and had click's errors before; both say it so.
    message = getattr(error, "format_message", None)
    if callable(message):
        text = " ".join(message().split()).replace("Value error, ", "").rstrip(".")
        known = {each.__name__ for each in COMMANDS}
        command = next((word for word in arguments if word in known), "")
        say(f"error: {text}; see `{' '.join(filter(None, ('bamctl', command, '--help')))}`")
        return 2
    handle, path = tempfile.mkstemp(prefix="bamctl-", suffix=".log", text=True)
    with os.fdopen(handle, "w", encoding="utf-8") as log:
        log.write(f"bamctl {__version__}, Python {sys.version}, {command_line.shown()}\n")
        log.write(command_line.without_passwords("".join(traceback.format_exception(error))))
    say(f"error: a bug in bamctl: {type(error).__name__}; please report it with the log at {path}")
    return 3


def main() -> NoReturn:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A file name that is no UTF-8, or a terminal that is none, must not stop a report.
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):
            stream.flush()
    # The interpreter would now take a second to free all that torch made, object by object.
    os._exit(code)
