"""`bamctl report`."""

from pathlib import Path
from typing import Annotated

import typer

from bamctl.cli.messages import say
from bamctl.cli.options.declare import option
from bamctl.errors import InputError
from bamctl.files.atomic import check_can_write, write_text


def report(
    pages: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|FILE...",
            help="Folders of runs, and pages written by `--format html`.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[Path, option("The page to write. [report.html]", metavar="FILE")] = Path(
        "report.html"
    ),
) -> int:
    """Join reports into one page that needs no other file and no network."""
    if output.suffix != ".html":
        raise InputError(f"cannot write {output}: end its name in .html")
    check_can_write(output)
    from bamctl.report.formats.html import join_pages

    count, page = join_pages(pages)
    write_text(output, page)
    say(f"{count} {'report is' if count == 1 else 'reports are'} in {output}")
    return 0
