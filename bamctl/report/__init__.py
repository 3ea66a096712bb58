"""How results are shown: `views` makes reports of them, and `RENDERERS` turns reports into text."""

from collections.abc import Callable
from typing import Literal

from bamctl.report import csv, json, markdown, terminal

Format = Literal["table", "json", "markdown", "csv"]

RENDERERS: dict[Format, Callable[..., str]] = {
    "table": terminal.render,
    "json": json.render,
    "markdown": markdown.render,
    "csv": csv.render,
}
