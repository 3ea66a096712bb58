"""Declaration of options; the help text names the default."""

from typing import Any

import typer


def option(help_text: str, panel: str | None = None, **settings: Any) -> Any:
    """An option that is not given unless it is; its default stands in its help."""
    return typer.Option(help=help_text, rich_help_panel=panel, show_default=False, **settings)


def flag(name: str, help_text: str, panel: str | None = None) -> Any:
    """An option without a value, that is off unless it is given."""
    return typer.Option(name, help=help_text, rich_help_panel=panel, show_default=False)
