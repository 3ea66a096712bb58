"""A training run in the middle, in one file: weights, optimizer, and how far it has come."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bamctl.errors import BamctlError, check_machine, first_line
from bamctl.files.atomic import atomic_path, check_can_read

_KEY = "bamctl_training"
_CHECKSUM, _OLD_CHECKSUM = "checksum", "crc32"


class DamagedStateError(BamctlError):
    """A file that was cut off or changed since it was written."""


@dataclass(frozen=True)
class State:
    """The state of a run that can be resumed: named tensors, and plain values as in JSON.

    The schedule, the order of the images and all randomness are functions of seed and step, and
    need nothing kept.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write(path: Path, state: State) -> None:
    """Write a state in one step.

    Raises:
        BamctlError: the file cannot be written, for want of space or otherwise.
    """
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.tensors.items()
    }
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {_KEY: seal(tensors, state.values)})
    except (BamctlError, SafetensorError) as error:
        raise BamctlError(first_line(error)) from error


def read(path: Path) -> State:
    """Read a state.

    Raises:
        DamagedStateError: the file was cut off, or its bytes have changed.
        BamctlError: there is too little memory for it.
    """
    try:
        check_can_read(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            values = unseal(file.metadata()[_KEY], tensors)
    except DamagedStateError as error:
        raise DamagedStateError(f"{path} {error}") from None
    except Exception as error:  # a reader raises whatever a damaged file leads it to
        check_machine(error, f"cannot read {path}")
        raise DamagedStateError(f"{path} is damaged: {first_line(error)}") from error
    return State(tensors, values)


def seal(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> str:
    """Plain values as JSON, with a checksum of them and of the tensors that stand beside them."""
    return json.dumps({**values, _CHECKSUM: checksum(tensors, values)})


def unseal(text: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The values that `seal` wrote beside some tensors.

    Raises:
        DamagedStateError: the checksum is another.
        ValueError, KeyError, TypeError: it is not such a text.
    """
    values: dict[str, Any] = dict(json.loads(text))
    if _OLD_CHECKSUM in values:
        # Files of older versions have one of the tensors alone.
        known, found = values.pop(_OLD_CHECKSUM), checksum(tensors)
    else:
        known, found = values.pop(_CHECKSUM), checksum(tensors, values)
    if known != found:
        raise DamagedStateError("is damaged: its checksum is another")
    return values


def flattened(optimizer: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of an optimizer's state dict, such as the momentum of each parameter."""
    return {
        f"{index}.{name}": value
        for index, kept in optimizer["state"].items()
        for name, value in kept.items()
        if isinstance(value, Tensor)
    }


def unflattened(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The other way round."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    return state


def checksum(tensors: Mapping[str, Tensor], values: Mapping[str, Any] | None = None) -> int:
    """A checksum of named tensors, and of plain values if there are some."""
    found = 0 if values is None else zlib.crc32(json.dumps(values, sort_keys=True).encode())
    for name in sorted(tensors):
        raw = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found = zlib.crc32(raw.numpy().tobytes(), zlib.crc32(name.encode(), found))
    return found


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
