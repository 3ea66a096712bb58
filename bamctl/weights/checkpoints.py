"""Checkpoints: safetensors with the placement in the metadata, and PyTorch's, loaded safely."""

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bamctl.errors import InputError, blame, first_line
from bamctl.files.atomic import atomic_path, check_can_read
from bamctl.networks.inserted import HOLDER
from bamctl.placement.placement import Placement

# The number of updates of a batch norm, which has no effect on one with a momentum. Checkpoints of
# old PyTorch lack it, as do those of networks with frozen batch norms.
COUNTER = ".num_batches_tracked"

_PLACEMENT_KEY = "bamctl_placement"

# Type names of the safetensors format, in the order of its files.
_TYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file by name, and the placement in its metadata, if any.

    `metadata` is all metadata of the file, as text.
    """

    path: Path
    state: dict[str, Tensor]
    placement: Placement | None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def required_placement(self) -> Placement:
        """Return the placement.

        Raises:
            InputError: the file has none.
        """
        if self.placement is None:
            raise InputError(f"{self.path} contains no placement; `bamctl insert --out` writes one")
        return self.placement


def read(path: Path) -> Checkpoint:
    """Read a `.safetensors` file, or one of `torch.save` without executing code in it.

    Raises:
        InputError: the file cannot be read, is corrupt, or contains anything but tensors.
        BamctlError: there is too little memory for it.
    """
    check_can_read(path)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        with warnings.catch_warnings():
            # For a file that is no checkpoint, PyTorch warns of the pickle protocol, then fails.
            warnings.simplefilter("ignore", UserWarning)
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: not loaded: it contains more than tensors, or is not a checkpoint; save "
            "model.state_dict(), not the model"
        ) from error
    except Exception as error:  # an unpickler may raise anything for a damaged file
        raise blame(
            error, str(path), f"not a checkpoint, or damaged: {first_line(error)}"
        ) from error
    return Checkpoint(path, _tensors(path, loaded), None)


def write(
    path: Path,
    model: nn.Module,
    placement: Placement | None,
    more: Mapping[str, str] | None = None,
) -> None:
    """Write a network's weights as safetensors, with the placement, if any, in the metadata.

    Args:
        path: the file to write.
        model: the network.
        placement: the placement inserted in it.
        more: further metadata.

    Raises:
        InputError: the file cannot be written.
    """
    # Cloned, since safetensors supports neither shared memory nor channels_last strides.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(state, temporary, {**_metadata(placement), **(more or {})})
        _sort_metadata(temporary)


def write_state(path: Path, model: nn.Module) -> None:
    """Write a network's state dict as `torch.save` does.

    Raises:
        InputError: the file cannot be written.
    """
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save(state, temporary)


def save(value: object, path: Path) -> None:
    """Write by `torch.save`, with bytes that do not depend on the file's name.

    Given a path, PyTorch stores its name in the file, and hides the cause of a failed write.
    """
    with path.open("wb") as file:
        torch.save(value, file)


def file_size(state: Mapping[str, Tensor]) -> int:
    """Return the size of the file that `write` makes of tensors, in bytes, from their shapes.

    A placement in the metadata is not counted: spellings of one placement differ in length. The
    format is eight bytes for the length of the header, the header, which is JSON padded to a
    multiple of eight bytes, and the tensors, by type as in `_TYPES` and then by name.
    """
    header: dict[str, Any] = {"__metadata__": _metadata(None)}
    position = 0
    ranks = {dtype: rank for rank, dtype in enumerate(_TYPES)}
    for name, tensor in sorted(state.items(), key=lambda item: (ranks[item[1].dtype], item[0])):
        end = position + tensor.numel() * tensor.itemsize
        shape = list(tensor.shape)
        kind = _TYPES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [position, end]}
        position = end
    return 8 + -(-len(_compact(header)) // 8) * 8 + position


def _sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file, whose order the library randomizes."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(_compact(header).ljust(size))


def _compact(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()


def _metadata(placement: Placement | None) -> dict[str, str]:
    if placement is None:
        return {"format": "pt"}
    # A budget does not describe the weights.
    own = placement.model_copy(update={"budget": None})
    return {"format": "pt", _PLACEMENT_KEY: own.to_json()}


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, partial: bool = False) -> None:
    """Load weights into a network.

    Args:
        model: the network, with attention modules if the weights include some.
        state: tensors by name; `num_batches_tracked` of batch norms may be missing.
        partial: whether weights of the attention modules may be missing.

    A floating-point weight is rounded to the network's precision, as in PyTorch. A conversion that
    loses more raises: an imaginary part, a fraction, or values out of range of the other type.

    Raises:
        InputError: a weight is missing, is unexpected, has another shape, or would lose values in
            conversion; names the first few.
    """
    own = model.state_dict()
    missing = {name for name in own.keys() - state.keys() if not name.endswith(COUNTER)}
    if partial:
        missing = {name for name in missing if not name.startswith(f"{HOLDER}.")}
    misfits = {
        "missing": sorted(missing),
        "unknown": sorted(state.keys() - own.keys()),
        "of another shape": [
            f"{name} ({_shape(state[name])}, not {_shape(own[name])})"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
        "that would lose values": [
            f"{name} ({_type(state[name])} as {_type(own[name])})"
            for name in own
            if name in state and _loses_values(state[name], own[name].dtype)
        ],
    }
    wrong = [f"{len(names)} {what}: {_few(names)}" for what, names in misfits.items() if names]
    if wrong:
        raise InputError(f"the weights do not fit the network: {'; '.join(wrong)}")
    try:
        model.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:  # a dtype that cannot be copied
        raise blame(error, "the weights do not fit the network") from error


def _loses_values(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Return whether a conversion changes values by more than rounding to another precision."""
    if tensor.dtype == dtype:
        return False
    if tensor.is_complex() and not dtype.is_complex:
        return True
    wide = torch.complex128 if dtype.is_complex else torch.float64
    before, after = tensor.to(wide), tensor.to(dtype).to(wide)
    is_rounded = tensor.is_floating_point() or tensor.is_complex()
    if is_rounded and (dtype.is_floating_point or dtype.is_complex):
        return not torch.equal(before.isfinite(), after.isfinite())
    return not torch.equal(before, after)


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _read_safetensors(path: Path) -> Checkpoint:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    text = metadata.get(_PLACEMENT_KEY)
    try:
        placement = Placement.from_json(text) if text is not None else None
        return Checkpoint(path, state, placement, metadata)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _tensors(path: Path, loaded: object) -> dict[str, Tensor]:
    """Return the tensors of a state dict, or of one under the key `state_dict` or `model`."""
    if isinstance(loaded, Mapping):
        inner = next((loaded[k] for k in ("state_dict", "model") if k in loaded), loaded)
        if isinstance(inner, Mapping) and inner:
            state = {str(name): tensor for name, tensor in inner.items()}
            if all(isinstance(tensor, Tensor) for tensor in state.values()):
                return _plain(path, state)
    raise InputError(f"{path}: contains no state dict; save model.state_dict()")


def _plain(path: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, tensor in state.items():
        dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
        if not dense:
            raise InputError(f"{path}: {name} is not a dense tensor; save dense weights")
    return state


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
