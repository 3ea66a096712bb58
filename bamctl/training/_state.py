"""Checkpoints of unfinished training runs: weights, optimizer state and progress in one file."""

import json
import tempfile
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

# The prefix of the network's parameters and buffers.
MODEL = "model/"

_KEY = "bamctl_training"
_CHECKSUM, _OLD_CHECKSUM = "checksum", "crc32"


class DamagedStateError(BamctlError):
    """A file that was truncated or modified since it was written."""


@dataclass(frozen=True)
class State:
    """The state of a resumable run: named tensors, and plain values as in JSON.

    The schedule, the data order and all randomness are functions of seed and step, and have no
    state.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def write(path: Path, state: State) -> None:
    """Write a state atomically.

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


def dump(state: State) -> bytes:
    """Return the content of a file with a state."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        write(path, state)
        return path.read_bytes()


def read(path: Path) -> State:
    """Read a state.

    Raises:
        DamagedStateError: the file was truncated or modified.
        BamctlError: there is too little memory for it.
    """
    try:
        check_can_read(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            values = unseal(file.metadata()[_KEY], tensors)
    except DamagedStateError as error:
        raise DamagedStateError(f"{path} {error}") from None
    except Exception as error:  # the reader may raise anything for a damaged file
        check_machine(error, f"cannot read {path}")
        raise DamagedStateError(f"{path} is damaged: {first_line(error)}") from error
    return State(tensors, values)


def seal(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> str:
    """Return plain values as JSON, with a checksum of them and of the tensors in the same file."""
    return json.dumps({**values, _CHECKSUM: checksum(tensors, values)})


def unseal(text: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the values that `seal` serialized, without the checksum.

    Raises:
        DamagedStateError: the checksum does not match.
        ValueError, KeyError, TypeError: the text was not written by `seal`.
    """
    values: dict[str, Any] = dict(json.loads(text))
    if _OLD_CHECKSUM in values:
        # In files of older versions, the checksum covers the tensors alone.
        known, found = values.pop(_OLD_CHECKSUM), checksum(tensors)
    else:
        known, found = values.pop(_CHECKSUM), checksum(tensors, values)
    if known != found:
        raise DamagedStateError("is damaged: checksum mismatch")
    return values


def flattened(optimizer: Mapping[str, Any]) -> dict[str, Tensor]:
    """Flatten the tensors of an optimizer's state dict, such as momentum buffers, to named ones."""
    return {
        f"{index}.{name}": value
        for index, kept in optimizer["state"].items()
        for name, value in kept.items()
        if isinstance(value, Tensor)
    }


def unflattened(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Invert `flattened`: return the tensors by parameter index and name."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    return state


def checksum(tensors: Mapping[str, Tensor], values: Mapping[str, Any] | None = None) -> int:
    """Return a CRC-32 of named tensors, and of plain values if passed."""
    found = 0 if values is None else zlib.crc32(json.dumps(values, sort_keys=True).encode())
    for name in sorted(tensors):
        raw = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found = zlib.crc32(raw.numpy().tobytes(), zlib.crc32(name.encode(), found))
    return found


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
