"""Reports as CSV: one row for each record, in plain numbers."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bamctl.report.document import Report
from bamctl.text import escapes


def render(report: Report, *, to_file: bool) -> str:
    """The report's records under one row of names."""
    return rows(report.records, header=True)


def rows(records: Sequence[Mapping[str, Any]], *, header: bool) -> str:
    """Records as lines of text, one for each, under the row of names or without."""
    names = list(dict.fromkeys(_cell(name) for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if header:
        writer.writeheader()
    for record in records:
        writer.writerow({_cell(name): _cell(value) for name, value in record.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A plain number as it is, text without a formula; what has parts, as JSON."""
    if isinstance(value, dict | list | tuple):
        value = json.dumps(value)
    return escapes.csv(value) if isinstance(value, str) else value
