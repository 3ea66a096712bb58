"""Keyword arguments of modules that others wrote: as a setting that hashes and compares."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

Scalar = str | int | float | bool | None


def _read(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"should be a mapping of arguments, not {value!r}")
    for key, each in value.items():
        if not isinstance(key, str) or not key.isidentifier():
            raise ValueError(f"{key!r} is not the name of an argument")
        if not isinstance(each, Scalar):
            raise ValueError(f"{key} should be a number, a string, true, false or null")
    return tuple(sorted(value.items()))


Arguments = Annotated[
    tuple[tuple[str, Any], ...],
    BeforeValidator(_read),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object"}),
]


def listed(arguments: tuple[tuple[str, Any], ...]) -> str:
    """Return arguments as `, key=value` for each, for a description.

    >>> listed((("k", 3), ("mode", "max")))
    ', k=3, mode=max'
    """
    return "".join(f", {name}={value}" for name, value in arguments)
