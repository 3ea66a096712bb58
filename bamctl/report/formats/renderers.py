"""How results are shown: the views make reports of them, and `RENDERERS` make text of those."""

from collections.abc import Callable
from typing import Literal

from bamctl.report.formats import csv, github, html, json, junit, markdown, terminal

Format = Literal["table", "json", "markdown", "csv", "html", "junit", "github"]

RENDERERS: dict[Format, Callable[..., str]] = {
    "table": terminal.render,
    "json": json.render,
    "markdown": markdown.render,
    "csv": csv.render,
    "html": html.render,
    "junit": junit.render,
    "github": github.render,
}
