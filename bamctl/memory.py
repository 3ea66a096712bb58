"""What a module keeps in memory for its backward pass, counted without computing anything."""

import copy

import torch
from torch import Tensor, nn


def on_meta(module: nn.Module) -> nn.Module:
    """A copy of a module whose parameters and buffers have shapes and no values."""
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


def kept_for_backward(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes for each image that a module in training keeps for the backward pass.

    Counts the storage of every saved tensor once, but for the input's and the parameters' own,
    as the growth from a batch of two to one of three. The result is among them: what comes after
    the module keeps it.

    Args:
        module: a module, best on the meta device, where nothing is computed; it is set to training.
        shape: of its input, without the batch.
    """
    module.train()
    return _saved_bytes(module, (3, *shape)) - _saved_bytes(module, (2, *shape))


def _saved_bytes(module: nn.Module, shape: tuple[int, ...]) -> int:
    like = next(module.parameters())
    x = torch.empty(shape, device=like.device, dtype=like.dtype, requires_grad=True)
    known = {t.untyped_storage()._cdata for t in (x, *module.parameters(), *module.buffers())}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        # Held until the count is done, so that no storage is taken for another's old place.
        saved.setdefault(tensor.untyped_storage()._cdata, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = module(x)
        if isinstance(result, Tensor):
            pack(result)
    return sum(t.untyped_storage().nbytes() for key, t in saved.items() if key not in known)
