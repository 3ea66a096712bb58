"""Measuring a network without leaving a mark: what it was before, it is after."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

_HOOKS = ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_forward_hooks")


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Run a network in eval mode without gradients, and put back all that this changes.

    These are modes, hooks, buffers and random state.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    hooks = [[getattr(module, name).copy() for name in _HOOKS] for module in modules]
    buffers = [(m, m._buffers.copy()) for m in modules]
    values = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode, found in zip(modules, modes, hooks, strict=True):
            module.training = mode
            # fvcore leaves its hooks behind when the network fails half-way.
            for name, own in zip(_HOOKS, found, strict=True):
                getattr(module, name).clear()
                getattr(module, name).update(own)
        for module, named in buffers:
            # A forward pass may have put other tensors in their place, or changed them.
            module._buffers.update(named)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)
