"""Tensors in whatever structure a network takes or returns them."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

Path = tuple[int | str, ...]


def tensors(value: Any) -> Iterator[tuple[Path, Tensor]]:
    """The floating-point tensors in a structure, each with the keys that lead to it.

    What has no dimension is a size that a network computes with.

    >>> import torch
    >>> [path for path, _ in tensors({"out": torch.zeros(2), "all": [torch.zeros(1), None]})]
    [('out',), ('all', 0)]
    """
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.dim():
            yield (), value
        return
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for key, item in inner:
        for path, tensor in tensors(item):
            yield (key, *path), tensor


def replaced(value: Any, item: int | str, tensor: Tensor) -> Any:
    """A structure of the same kind, with another tensor at one of its items.

    >>> replaced((1, 2), 0, "refined")
    ('refined', 2)
    """
    if isinstance(value, Mapping):
        return type(value)({**value, item: tensor})  # type: ignore[call-arg]
    items = [tensor if index == item else each for index, each in enumerate(value)]
    # A named tuple takes its fields one by one.
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
