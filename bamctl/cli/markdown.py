"""Markdown in a terminal, rendered by rich."""

import re
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.text import Text
from rich.theme import Theme

_WIDTH = 100
# The default has a black background, which a light terminal lacks.
_THEME = Theme({"markdown.code": "cyan"})
_LINK_TO_CHAPTER = re.compile(r"\[([^\]]+)\]\((?:bamctl/help/)?(\w+)\.md\)")
_IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n+", re.MULTILINE)


class _Heading(Heading):
    """A heading at the left, where a reader looks for it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text()
        yield Text(self.text.plain, style="bold underline" if self.tag == "h1" else "bold")


class _CodeBlock(CodeBlock):
    """A block of code as it was written: lines are neither broken nor padded."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = str(self.text).rstrip().splitlines()
        code = "\n".join(f"  {line}" for line in lines)
        yield Text(code, style="cyan", no_wrap=True, overflow="ignore")


class _Markdown(Markdown):
    elements: ClassVar = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _CodeBlock,
        "code_block": _CodeBlock,
    }


def terminal(text: str) -> str:
    """Render Markdown for a terminal, or for a pipe in 100 columns without colours.

    Links to chapters become the command that shows them, and images are left out.
    """
    console = Console(highlight=False)
    width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    console = Console(highlight=False, width=width, theme=_THEME)
    text = _LINK_TO_CHAPTER.sub(r"\1 (`bamctl help \2`)", _IMAGE.sub("", text))
    with console.capture() as capture:
        console.print(_Markdown(text, hyperlinks=False), crop=False)
    lines = capture.get().strip("\n").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)
