"""Memory: activations that a module saves for its backward pass, and peak memory."""

import copy
import weakref
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bamctl.networks.example import training_arguments
from bamctl.networks.inputs import InputsLike, read
from bamctl.networks.structures import tensors

Module = TypeVar("Module", bound=nn.Module)

_CGROUP = Path("/sys/fs/cgroup")


def on_meta(module: nn.Module) -> nn.Module:
    """Return a copy of a module on the meta device, without copying its weights first."""
    shapes = {id(t): t.detach().to("meta") for t in (*module.parameters(), *module.buffers())}
    tensors = {
        key: nn.Parameter(shapes[key], requires_grad=t.requires_grad)
        if isinstance(t, nn.Parameter)
        else shapes[key]
        for t in (*module.parameters(), *module.buffers())
        for key in [id(t)]
    }
    # Listed in the memo as copied, the weights are not copied by deepcopy.
    return copy.deepcopy(module, memo=tensors)


def sharing_weights(module: Module) -> Module:
    """Return a copy of a module that shares its parameters."""
    return copy.deepcopy(module, memo={id(each): each for each in module.parameters()})


def available_bytes() -> int:
    """Return the bytes that the process can still allocate, on the machine and in its cgroup."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return int(free)


def kept_for_backward(module: nn.Module, given: InputsLike) -> int:
    """Return the bytes for each image that a module in training saves for the backward pass.

    Counts the storage of every saved tensor once, without inputs, parameters and buffers, as the
    growth from a batch of two to a batch of three. The result counts, since the next layer saves
    it.

    Args:
        module: a module, preferably on the meta device; it is set to training mode.
        given: the shapes of its inputs, without the batch.
    """
    module.train()
    more, less = (training_arguments(module, read(given), size) for size in (3, 2))
    return _saved_bytes(module, more) - _saved_bytes(module, less)


def _saved_bytes(module: nn.Module, arguments: tuple[Any, ...]) -> int:
    inputs = [tensor for _, tensor in tensors(arguments)]
    for _, tensor in tensors(arguments[0]):
        tensor.requires_grad_()
    excluded = {
        t.untyped_storage()._cdata for t in (*inputs, *module.parameters(), *module.buffers())
    }
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # Kept alive until the count is done, so that no storage reuses the address of another.
        saved.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        for _, result in tensors(module(*arguments)):
            pack(result)
    return sum(t.untyped_storage().nbytes() for key, t in saved.items() if key not in excluded)


def kept_anywhere(module: nn.Module, given: InputsLike) -> int:
    """Return the same of a module with weights, which is left unchanged; without them if possible.

    Args:
        module: any module.
        given: the shapes of its inputs, without the batch.
    """
    try:
        return kept_for_backward(on_meta(module), given)
    except (RuntimeError, NotImplementedError):
        # It reads values of tensors, creates tensors on a fixed device, or has an operator without
        # a kernel for the meta device.
        return kept_for_backward(copy.deepcopy(module), given)


class PeakMemory(TorchDispatchMode):
    """Dispatch mode that measures the peak memory of tensors, in bytes, while it is active.

    For devices without memory statistics. Temporary buffers inside an operator are not counted.

    Args:
        tensors: existing tensors that count too, such as weights.
    """

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._bytes = 0
        self._known: dict[int, weakref.ref[Any]] = {}
        for tensor in tensors:
            self._add(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for _, tensor in tensors(result):
            self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known[key] = weakref.ref(storage, lambda _: self._drop(key, size))
        self._bytes += size
        self.peak_bytes = max(self.peak_bytes, self._bytes)

    def _drop(self, key: int, size: int) -> None:
        del self._known[key]
        self._bytes -= size
