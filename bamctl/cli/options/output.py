"""Options for the output of a result: format and file."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bamctl.cli.command_line import signed
from bamctl.cli.options.declare import option
from bamctl.errors import InputError
from bamctl.files.atomic import check_can_write, write_text
from bamctl.report.formats.formats import FORMATS

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[tuple(name for name, each in FORMATS.items() if not each.of_findings)]


@dataclass(frozen=True)
class OutputOptions:
    """The format of the result, and its file."""

    format: Annotated[
        FormatName,
        typer.Option(help="How the result is shown."),
    ] = "table"
    output: Annotated[
        Path | None, option("Write the result to a file instead of the screen.", metavar="FILE")
    ] = None

    def check(self) -> None:
        """Raise for a file that cannot be written, before any work.

        Raises:
            InputError: it cannot be written.
        """
        check_destination(self.format, self.output)

    def show(self, report: Any) -> None:
        """Render a report to the file, or to standard output."""
        show(report, self.format, self.output)


def check_destination(format_name: str, output: Path | None) -> None:
    """Raise for a file that cannot be written or a page on a terminal, before any work.

    Raises:
        InputError: it is either.
    """
    if output is not None:
        check_can_write(output)
    elif format_name == "html" and sys.stdout.isatty():
        raise InputError("a page is for a file: add --output FILE.html")


def show(report: Any, format_name: Any, output: Path | None) -> None:
    """Render a report to a file, or to standard output."""
    text = FORMATS[format_name].render(signed(report), to_file=output is not None)
    if output is not None:
        write_text(output, text)
    else:
        print(text, end="", flush=True)
