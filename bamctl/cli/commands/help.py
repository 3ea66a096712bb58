"""`bamctl help`."""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bamctl.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

# The chapters of commands that have none of their own.
COMMANDS = {
    "analyze": "where",
    "attend": "pages",
    "calibrate": "latency",
    "judge": "train",
    "models": "networks",
    "report": "pages",
    "schema": "placements",
}


def help(  # noqa: A001 - the name of the command
    topic: Annotated[
        str,
        typer.Argument(
            metavar="[TOPIC]",
            help="A chapter, or a command.",
            autocompletion=lambda incomplete: [
                name for name in topics() if name.startswith(incomplete)
            ],
            show_default=False,
        ),
    ] = "",
) -> int:
    """Show a chapter of the documentation; without TOPIC, list the chapters."""
    from bamctl.cli import markdown

    print(markdown.terminal(chapter(topic) if topic else contents()), end="")
    return 0


def topics() -> dict[str, "Traversable"]:
    """Return the chapters by name: the Markdown files in `bamctl/help`."""
    files = resources.files("bamctl").joinpath("help").iterdir()
    return {Path(file.name).stem: file for file in sorted(files, key=lambda file: file.name)}


def chapter(topic: str) -> str:
    """Return a chapter as Markdown.

    Raises:
        InputError: there is no chapter of that name, and no command.
    """
    found, name = topics(), COMMANDS.get(topic, topic)
    if name not in found:
        near = did_you_mean(topic, [*found, *COMMANDS])
        raise InputError(f"no topic {topic!r}{near}; `bamctl help` lists them")
    return found[name].read_text(encoding="utf-8")


def contents() -> str:
    """Return the list of chapters as Markdown, each with its heading."""
    rows = [f"| `{name}` | {_heading(file)} |" for name, file in topics().items()]
    head = ["# Chapters", "", "| `bamctl help …` | |", "| --- | --- |"]
    return "\n".join([*head, *rows, "", "`bamctl COMMAND --help` lists the options of a command."])


def _heading(file: "Traversable") -> str:
    return file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
