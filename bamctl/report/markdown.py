"""Reports as Markdown, for a pull request or a notebook."""

import re

from bamctl.report.document import Report, Table


def render(report: Report, *, to_file: bool) -> str:
    """The report with its tables as GitHub writes them."""
    blocks = [_table(b) if isinstance(b, Table) else _text(b) for b in report.blocks]
    return "\n\n".join([f"### {_text(report.heading)}", *blocks]) + "\n"


def _table(table: Table) -> str:
    rule = ["---:" if column.justify == "right" else "---" for column in table.columns]
    lines = [[_text(column.title) for column in table.columns], rule]
    lines += [[_text(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text)
