"""Reports as text for a terminal or a pipe."""

from textwrap import fill

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bamctl.report.document import Report, Table

# A pipe has no width; tables are set as wide as they are, and nothing is cut.
_PIPE_WIDTH = 400
_TEXT_WIDTH = 100


def render(report: Report, *, to_file: bool) -> str:
    """The report as text, coloured and fitted to the screen when it goes to one."""
    console = Console(soft_wrap=False, highlight=False, no_color=True if to_file else None)
    if to_file or not console.is_terminal:
        console = Console(width=_PIPE_WIDTH, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(Text(report.heading, style="bold"))
        for block in report.blocks:
            console.print()
            if isinstance(block, Table):
                console.print(_rich(block, console.width))
            else:
                console.print(_wrapped(block, console))
    lines = capture.get().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wrapped(text: str, console: Console) -> Text:
    width = min(console.width, _TEXT_WIDTH)
    return Text("\n".join(fill(line, width) for line in text.splitlines()))


def _rich(table: Table, width: int) -> RichTable:
    # A narrow screen rather gets its columns closer together than its words broken.
    gap = 2 if _natural_width(table, 2) <= width else 1
    rich = RichTable(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for column in table.columns:
        rich.add_column(column.title, justify=column.justify, overflow="fold")
    for index, row in enumerate(table.rows):
        style = "bold" if index in table.emphasized else ""
        rich.add_row(*(Text(cell) for cell in row), style=style)
    return rich


def _natural_width(table: Table, gap: int) -> int:
    rows = [[column.title for column in table.columns], *table.rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + gap * (len(widths) - 1)
