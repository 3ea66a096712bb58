"""Reports as Markdown, for a pull request or a notebook."""

from itertools import accumulate

from bamctl.report.document import Report, Table
from bamctl.text import escapes

# GitHub limits comments to 65,536 characters.
MAX_CHARACTERS = 65_000


def render(report: Report, *, to_file: bool) -> str:
    """Render the report, with tables in GitHub Flavored Markdown."""
    blocks = [_table(b) if isinstance(b, Table) else escapes.markdown(b) for b in report.blocks]
    return _fitted("\n\n".join([f"### {_cell(report.heading)}", *blocks])) + "\n"


def _fitted(text: str) -> str:
    """Truncate text at a line so that it fits a comment; say how many lines were left out."""
    if len(text) <= MAX_CHARACTERS:
        return text
    lines = text.split("\n")
    ends = list(accumulate(len(line) + 1 for line in lines))
    kept = sum(1 for end in ends if end < MAX_CHARACTERS - 100)
    more = f"… and {len(lines) - kept} lines more; `--format json` has all."
    return "\n".join([*lines[:kept], "", more])


def _table(table: Table) -> str:
    rule = ["---:" if column.justify == "right" else "---" for column in table.columns]
    lines = [[_cell(column.title) for column in table.columns], rule]
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    # A row of a table must be one line.
    return escapes.markdown(escapes.line(text))
