"""Reports as CSV: one row for each record, in plain numbers."""

import csv
import io
import json
from typing import Any

from bamctl.report.document import Report


def render(report: Report, *, to_file: bool) -> str:
    """The report's records under one row of names."""
    names = list(dict.fromkeys(name for record in report.records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for record in report.records:
        writer.writerow({name: _cell(value) for name, value in record.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A plain number or text as it is; what has parts, as JSON."""
    return json.dumps(value) if isinstance(value, dict | list | tuple) else value
