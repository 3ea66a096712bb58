"""Reports as text for a terminal or a pipe."""

from collections.abc import Sequence
from textwrap import fill

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bamctl.report.document import Report, Table
from bamctl.text import escapes

# A pipe has no width; tables are as wide as needed, and nothing is truncated.
_PIPE_WIDTH = 400
_TEXT_WIDTH = 100


def render(report: Report, *, to_file: bool) -> str:
    """Render the report as text, coloured and fitted to the terminal if it goes to one."""
    console = Console(soft_wrap=False, highlight=False, no_color=True if to_file else None)
    if to_file or not console.is_terminal:
        console = Console(width=_PIPE_WIDTH, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(Text(escapes.line(report.heading), style="bold"))
        for block in report.blocks:
            console.print()
            if isinstance(block, Table):
                console.print(_rich(block, console.width))
            else:
                console.print(_wrapped(block, console))
    lines = capture.get().splitlines()
    # Wrapping may move text that is harmless within a line to its start.
    return "".join(f"{escapes.without_commands(line.rstrip())}\n" for line in lines)


def _wrapped(text: str, console: Console) -> Text:
    width = min(console.width, _TEXT_WIDTH)
    return Text("\n".join(fill(line, width) for line in escapes.terminal(text).splitlines()))


def _rich(table: Table, width: int) -> RichTable:
    rows = [[escapes.line(cell) for cell in row] for row in table.rows]
    titles = [escapes.line(column.title) for column in table.columns]
    # On a narrow terminal, reduce the padding of columns before breaking words.
    gap = 2 if _natural_width([titles, *rows], 2) <= width else 1
    rich = RichTable(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for title, column in zip(titles, table.columns, strict=True):
        rich.add_column(Text(title), justify=column.justify, overflow="fold")
    for index, row in enumerate(rows):
        style = "bold" if index in table.emphasized else ""
        rich.add_row(*(Text(cell) for cell in row), style=style)
    return rich


def _natural_width(rows: Sequence[Sequence[str]], gap: int) -> int:
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + gap * (len(widths) - 1)
