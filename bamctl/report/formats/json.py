"""Reports as JSON, the format that programs may rely on."""

import json

from bamctl.report.document import Report
from bamctl.text import escapes


def render(report: Report, *, to_file: bool) -> str:
    """Render the report's data as one JSON document."""
    return escapes.json(json.dumps(report.data, indent=2)) + "\n"
