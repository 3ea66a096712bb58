"""Reports as CSV: one row for each record, in plain numbers."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bamctl.report.document import Report
from bamctl.text import escapes


def render(report: Report, *, to_file: bool) -> str:
    """Render the report's records under a header row."""
    return rows(report.records, header=True)


def rows(records: Sequence[Mapping[str, Any]], *, header: bool) -> str:
    """Format records as lines of text, with or without the header row."""
    names = list(dict.fromkeys(_cell(name) for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if header:
        writer.writeheader()
    for record in records:
        writer.writerow({_cell(name): _cell(value) for name, value in record.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Format a cell: a plain number, text that is no formula, or JSON for a composite value."""
    if isinstance(value, dict | list | tuple):
        value = json.dumps(value)
    return escapes.csv(value) if isinstance(value, str) else value
