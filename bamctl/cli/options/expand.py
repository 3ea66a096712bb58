"""Expand groups of options: from a command that takes groups to one that takes options.

A group is a dataclass, whose fields are the options, or a `SettingsOptions`, whose options are the
settings of all kinds of attention modules.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any


def _options_of(group: Any) -> list[inspect.Parameter]:
    """Return the options of a group, one for each field; none if it is not a group."""
    if hasattr(group, "options"):
        return [_parameter(*each) for each in group.options()]
    if not (isinstance(group, type) and is_dataclass(group)):
        return []
    return [_parameter(own.name, own.type, own.default) for own in fields(group)]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command in which parameters that are groups are replaced by their options."""
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if own := _options_of(parameter.annotation):
            groups[name] = parameter.annotation
            parameters += own
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def wrapper(**given: Any) -> int:
        built = {
            name: group(**{own.name: given.pop(own.name) for own in _options_of(group)})
            for name, group in groups.items()
        }
        return command(**given, **built)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    wrapper.__signature__ = inspect.Signature(keyword)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in keyword}
    return wrapper
