"""The report: a document that is independent of the output format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bamctl.report.chart import Chart

# The version of every JSON output. 2: times are in milliseconds, under keys with `_ms`.
SCHEMA = 2


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are set flush right."""

    title: str
    justify: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Table:
    """Rows of text under titled columns; `emphasized` are the rows to highlight."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    emphasized: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Finding:
    """A check and its verdict, for CI servers.

    `verdict` is `passed`, `warning`, `failed`, or `error` where it could not be checked at all.
    `file` and `line` are the position to edit, if known.
    """

    subject: str
    title: str
    message: str
    verdict: Literal["passed", "warning", "failed", "error"]
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Attachment:
    """A file that a report refers to, such as a placement, as text."""

    name: str
    text: str


@dataclass(frozen=True)
class Report:
    """A result to show: as blocks for people, as `data` and `records` for programs.

    `command` is the command line that made it, without passwords. `data` is the JSON document,
    `records` are the rows of the CSV file, in plain numbers, and `findings` are for the formats of
    checks. `charts` and `attachments` are for formats that can show them. `answer` are those of the
    blocks that answer the question, which a page shows before its pictures, and `drawn` those that
    stand in for a picture where there is none.
    """

    heading: str
    blocks: Sequence[Table | str]
    data: dict[str, Any]
    records: Sequence[dict[str, Any]] = field(default_factory=tuple)
    findings: Sequence[Finding] = field(default_factory=tuple)
    charts: Sequence[Chart] = field(default_factory=tuple)
    attachments: Sequence[Attachment] = field(default_factory=tuple)
    command: str = ""
    answer: Sequence[Table | str] = field(default_factory=tuple)
    drawn: Sequence[str] = field(default_factory=tuple)
