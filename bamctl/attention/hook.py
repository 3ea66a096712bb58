"""How an attention module is applied: by a forward hook of the module whose output it refines."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from bamctl.structures import replaced

# The submodule of the root that owns everything inserted. Its name is in every checkpoint.
HOLDER = "inserted"


class Inserted(nn.ModuleDict):
    """Owns the inserted modules, so that optimizers, devices and checkpoints see them.

    Called as a layer it returns its input, since a root that runs all its children, such as an
    `nn.Sequential`, calls this one too.
    """

    def forward(self, x: Any) -> Any:
        """The input itself."""
        return x


class AttentionHook:
    """Applies an attention module to what its host returns.

    An object and not a closure: `copy.deepcopy` and `pickle` take it along with the network, and
    keep it pointing at the network's own copy of the module. Of a host that returns more than the
    feature map, `item` is the index or key of the map in its result.
    """

    def __init__(self, attention: nn.Module, item: int | str | None = None) -> None:
        self.attention = attention
        self.item = item

    def __call__(self, host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """The refined output, which takes the place of the host's own."""
        if self.attention.training != host.training:
            # A part of the network that is used alone, as `IntermediateLayerGetter` does, has its
            # mode set without the root, and so without us.
            self.attention.train(host.training)
        if self.item is None:
            return self.attention(output)
        return replaced(output, self.item, self.attention(output[self.item]))


def attach(host: nn.Module, attention: nn.Module, item: int | str | None = None) -> None:
    """Apply an attention module to everything that the host returns from now on.

    Args:
        host: the module whose output is refined.
        attention: what refines it.
        item: index or key of the feature map, where the host returns more than that.
    """
    host.register_forward_hook(AttentionHook(attention, item))


def is_attached(host: nn.Module) -> bool:
    """Whether an attention module is applied to what the host itself returns."""
    return bool(attached(host))


def attached(host: nn.Module) -> list[nn.Module]:
    """The attention modules that are applied to what the host itself returns."""
    hooks = host._forward_hooks.values()
    return [hook.attention for hook in hooks if isinstance(hook, AttentionHook)]


def detach(model: nn.Module, only: Container[nn.Module] | None = None) -> None:
    """Stop applying attention modules, all or only some, in a network and in all its parts."""
    for module in model.modules():
        ours = [
            key
            for key, hook in module._forward_hooks.items()
            if isinstance(hook, AttentionHook) and (only is None or hook.attention in only)
        ]
        for key in ours:
            del module._forward_hooks[key]


@contextmanager
def detached(model: nn.Module) -> Iterator[None]:
    """The network as it was before anything was inserted, for as long as the block runs."""
    found = [(module, module._forward_hooks.copy()) for module in model.modules()]
    detach(model)
    try:
        yield
    finally:
        for module, hooks in found:
            module._forward_hooks.clear()
            module._forward_hooks.update(hooks)
