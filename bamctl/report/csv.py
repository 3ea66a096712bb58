"""Reports as CSV: one row for each record, in plain numbers."""

import csv
import io

from bamctl.report.document import Report


def render(report: Report, *, to_file: bool) -> str:
    """The report's records under one row of names."""
    names = list(dict.fromkeys(name for record in report.records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(report.records)
    return text.getvalue()
