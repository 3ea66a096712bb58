"""Memory: what a module saves for its backward pass, and peak memory."""

import copy
import ctypes
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
# The names of two settings in glibc's malloc.h.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


def on_meta(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose parameters and buffers have shapes and no values."""
    shapes = {id(t): t.detach().to("meta") for t in (*module.parameters(), *module.buffers())}
    tensors = {
        key: nn.Parameter(shapes[key], requires_grad=t.requires_grad)
        if isinstance(t, nn.Parameter)
        else shapes[key]
        for t in (*module.parameters(), *module.buffers())
        for key in [id(t)]
    }
    # Told that these are copied already, deepcopy does not copy the weights first.
    return copy.deepcopy(module, memo=tensors)


def sharing_weights(module: Module) -> Module:
    """Return a copy of a module with the very same parameters, in modules of its own."""
    return copy.deepcopy(module, memo={id(each): each for each in module.parameters()})


def available_bytes() -> int:
    """Bytes of memory that the process can still take, by the machine and by its container."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return int(free)


def give_back_at_once() -> None:
    """Have large blocks of memory given back to the system when they are free, where glibc can.

    Left to itself, glibc keeps them, with what stays between them: twice the memory for the trace
    of a large network. For a process of our own, since it holds for all that runs in it.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 4 * 2**20)
        mallopt(_TRIM_THRESHOLD, 256 * 2**20)


def kept_for_backward(module: nn.Module, given: InputsLike) -> int:
    """Bytes for each image that a module in training keeps for the backward pass.

    Counts the storage of every saved tensor once, but for the input's and the parameters' own,
    as the growth from a batch of two to one of three. The result is among them: what comes after
    the module keeps it.

    Args:
        module: a module, best on the meta device, where nothing is computed; it is set to training.
        given: what it takes, without the batch.
    """
    module.train()
    more, less = (training_arguments(module, read(given), size) for size in (3, 2))
    return _saved_bytes(module, more) - _saved_bytes(module, less)


def _saved_bytes(module: nn.Module, arguments: tuple[Any, ...]) -> int:
    given = [tensor for _, tensor in tensors(arguments)]
    for _, tensor in tensors(arguments[0]):
        tensor.requires_grad_()
    known = {t.untyped_storage()._cdata for t in (*given, *module.parameters(), *module.buffers())}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # Held until the count is done, so that no storage is taken for another's old place.
        saved.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        for _, result in tensors(module(*arguments)):
            pack(result)
    return sum(t.untyped_storage().nbytes() for key, t in saved.items() if key not in known)


class PeakMemory(TorchDispatchMode):
    """The most bytes that tensors take at any moment while this is active.

    For devices that do not tell. What an operator takes and gives back while it runs is not seen.

    Args:
        tensors: what is there already, such as weights; it counts.
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
