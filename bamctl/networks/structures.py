"""Tensors in nested structures of arguments and results."""

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from types import ModuleType
from typing import Any

from torch import Tensor, nn

Path = tuple[int | str, ...]


def tensors(value: Any) -> Iterator[tuple[Path, Tensor]]:
    """Return an iterator over the floating-point tensors in a structure, each with its path.

    Structures are mappings, lists, tuples, and objects with attributes, such as dataclasses. 0-d
    tensors are skipped: they are sizes that a network computes with.

    >>> import torch
    >>> [path for path, _ in tensors({"out": torch.zeros(2), "all": [torch.zeros(1), None]})]
    [('out',), ('all', 0)]
    """
    return _tensors(value, frozenset())


def picked(value: Any, item: int | str) -> Any:
    """Return the item at an index, key or attribute of a structure."""
    is_indexed = isinstance(value, Mapping | list | tuple)
    return value[item] if is_indexed else getattr(value, str(item))


def replaced(value: Any, item: int | str, tensor: Tensor) -> Any:
    """Return a copy of a structure with one item replaced by a tensor.

    >>> replaced((1, 2), 0, "refined")
    ('refined', 2)
    """
    if isinstance(value, MutableMapping):
        # A copy keeps other state of the mapping, such as the factory of a `defaultdict`.
        changed = copy.copy(value)
        changed[item] = tensor
        return changed
    if isinstance(value, Mapping):
        return type(value)({**value, item: tensor})  # type: ignore[call-arg]
    if not isinstance(value, list | tuple):
        changed = copy.copy(value)
        # Bypasses the check of a frozen dataclass; the copy is not shared yet.
        object.__setattr__(changed, str(item), tensor)
        return changed
    items = [tensor if index == item else each for index, each in enumerate(value)]
    # A named tuple takes its fields as arguments.
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def _tensors(value: Any, around: frozenset[int]) -> Iterator[tuple[Path, Tensor]]:
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.dim():
            yield (), value
        return
    if id(value) in around:
        return  # It contains itself.
    for key, item in _items(value):
        for path, tensor in _tensors(item, around | {id(value)}):
            yield (key, *path), tensor


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif not isinstance(value, nn.Module | type | ModuleType):
        yield from getattr(value, "__dict__", {}).items()
        slots = (name for kind in type(value).__mro__ for name in _slots(kind))
        yield from ((name, getattr(value, name)) for name in slots if hasattr(value, name))


def _slots(kind: type) -> tuple[str, ...]:
    """Return the names in `__slots__` of a class, without special ones."""
    slots = kind.__dict__.get("__slots__", ())
    named = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in named if not name.startswith("__"))
