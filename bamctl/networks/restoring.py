"""Restoring a network's state after a measurement."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_FLAGS = (
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Set a network to eval mode without gradients, and restore its state on exit.

    Restores modes, buffers and random state, and removes the hooks that bamctl and fvcore added.
    Hooks that the network itself adds or removes stay so, since it may keep track of them.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    hooks = [(module, name, set(getattr(module, name))) for module in modules for name in _HOOKS]
    buffers = [(m, m._buffers.copy()) for m in modules]
    values = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for module, name, keys in hooks:
            _remove_ours(module, name, keys)
        for module, named in buffers:
            # A forward pass may have replaced buffers or changed them in place.
            module._buffers.update(named)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


def _remove_ours(module: nn.Module, name: str, found: set[int]) -> None:
    """Remove hooks of bamctl and fvcore that were added since."""
    hooks = getattr(module, name)
    for key in [key for key, hook in hooks.items() if key not in found and _is_ours(hook)]:
        del hooks[key]
        for flags in _FLAGS:
            getattr(module, flags).pop(key, None)


def _is_ours(hook: Any) -> bool:
    # fvcore does not remove its hooks if the network raises.
    return str(getattr(hook, "__module__", "")).partition(".")[0] in ("bamctl", "fvcore")
