"""Options that the command line leaves out, from the table of the project."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bamctl.cli.options.shared import NetworkOptions
    from bamctl.cli.project import Defaults

TABLE = "[tool.bamctl] in pyproject.toml"


def no_model(command: str, *others: str) -> str:
    """Return the error of a command without a model, with every way to name one."""
    ways = [f"name one, as in `bamctl {command} resnet50`", *others, f"set `model` under {TABLE}"]
    return f"no model: {', or '.join(ways)}"


def of_project(
    model: str, network: "NetworkOptions", where: list[str] | None = None
) -> "tuple[str, NetworkOptions, list[str] | None]":
    """Return a model, its options and its sites, from the project if no model is named.

    What the table says about its own model does not apply to another one.

    Raises:
        InputError: the table is invalid.
    """
    defaults = None if model else defaults_of_project()
    if defaults is None or defaults.model is None:
        return model, network, where
    return defaults.model, _filled(network, defaults), where or defaults.patterns() or None


def data_of_project(data: str | None) -> str | None:
    """Return the data set, from the project if none is named.

    Raises:
        InputError: the table is invalid.
    """
    defaults = None if data else defaults_of_project()
    return data if defaults is None else defaults.data


def defaults_of_project() -> "Defaults | None":
    """Return the defaults of the project, if it has any.

    Raises:
        InputError: the table is invalid.
    """
    from bamctl.cli import project

    found = project.find()
    return found.defaults if found else None


def _filled(network: "NetworkOptions", defaults: "Defaults") -> "NetworkOptions":
    """Return the options of a network, with those that were not passed from the project."""
    passed = [text.partition("=")[0] for text in network.arg or ()]
    args = [
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in defaults.args.items()
        if name not in passed
    ]
    return replace(
        network,
        arg=[*args, *(network.arg or ())] or None,
        input=network.input or (list(map(str, defaults.input)) if defaults.input else None),
        num_classes=network.num_classes or defaults.num_classes,
        stem=network.stem or defaults.stem,
    )
