"""Declaration of options; the help text names the default."""

from typing import Any

import typer

from bamctl.errors import InputError


def option(help_text: str, panel: str | None = None, **settings: Any) -> Any:
    """Declare an option with default None; its help names the effective default."""
    return typer.Option(help=help_text, rich_help_panel=panel, show_default=False, **settings)


def flag(name: str, help_text: str, panel: str | None = None) -> Any:
    """Declare a flag that is off by default."""
    return typer.Option(name, help=help_text, rich_help_panel=panel, show_default=False)


def keywords(texts: list[str], option_name: str, example: str) -> dict[str, Any]:
    """Return the values of an option that takes KEY=VALUE, by their keys.

    Raises:
        InputError: a text is not of that form, or a key is given twice.
    """
    from bamctl.files import yaml_files

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(
                f"{option_name} {text!r} is not KEY=VALUE; write it like {option_name} {example}"
            )
        if name in found:
            raise InputError(f"{option_name} {name} is given twice; give it once")
        found[name] = yaml_files.value(value)
    return found
