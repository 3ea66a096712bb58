"""Declaration of options; the help text names the default."""

from typing import Any

import typer


def option(help_text: str, panel: str | None = None, **settings: Any) -> Any:
    """Declare an option with default None; its help names the effective default."""
    return typer.Option(help=help_text, rich_help_panel=panel, show_default=False, **settings)


def flag(name: str, help_text: str, panel: str | None = None) -> Any:
    """Declare a flag that is off by default."""
    return typer.Option(name, help=help_text, rich_help_panel=panel, show_default=False)
