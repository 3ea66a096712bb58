"""The forward hook that applies an attention module to the output of another module."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from bamctl.networks.structures import picked, replaced

# The submodule of the root that contains all inserted modules; its name is in every checkpoint.
HOLDER = "inserted"


class Inserted(nn.ModuleDict):
    """Container that registers the inserted modules with optimizers, devices and checkpoints.

    Its forward is the identity, since a root that runs all its children, such as an
    `nn.Sequential`, runs this one too.
    """

    def forward(self, x: Any) -> Any:
        """Return the input unchanged."""
        return x


class AttentionHook:
    """Forward hook that applies an attention module to the output of its host.

    An object instead of a closure, so that `copy.deepcopy` and `pickle` copy it with the network
    and it refers to the copied module. If the host returns more than the feature map, `item` is the
    index, key or attribute of the map in its result.

    It runs before all other hooks, so that networks which collect the outputs of their blocks by
    hooks collect the refined ones.
    """

    def __init__(self, attention: nn.Module, item: int | str | None = None) -> None:
        self.attention = attention
        self.item = item
        # Pickled too: it keeps later hooks from reusing its id in another process.
        self.handle: RemovableHandle | None = None

    def __call__(self, host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """Return the refined output, which replaces the host's."""
        if self.attention.training != host.training:
            # When a part of the network is used alone, as by `IntermediateLayerGetter`, its mode is
            # set without the root, and so without the container of the attention modules.
            self.attention.train(host.training)
        if self.item is None:
            return self.attention(output)
        return replaced(output, self.item, self.attention(picked(output, self.item)))

    def attach(self, host: nn.Module) -> None:
        """Register as the first forward hook of the host."""
        self.handle = host.register_forward_hook(self, prepend=True)


def attach(host: nn.Module, attention: nn.Module, item: int | str | None = None) -> None:
    """Apply an attention module to every further output of a host.

    Args:
        host: the module whose output is refined.
        attention: the attention module.
        item: index, key or attribute of the feature map, if the host returns more than that.
    """
    AttentionHook(attention, item).attach(host)


def is_attached(host: nn.Module) -> bool:
    """Return whether an attention module is applied to the output of a host."""
    return bool(attached(host))


def attached(host: nn.Module) -> list[nn.Module]:
    """Return the attention modules that are applied to the output of a host."""
    hooks = host._forward_hooks.values()
    return [hook.attention for hook in hooks if isinstance(hook, AttentionHook)]


def detach(model: nn.Module, only: Container[nn.Module] | None = None) -> None:
    """Remove the hooks of all attention modules, or of those in `only`, from a network."""
    for host, key, hook in list(_hooks(model)):
        if only is None or hook.attention in only:
            del host._forward_hooks[key]


@contextmanager
def detached(model: nn.Module) -> Iterator[None]:
    """Restore the network without insertions for the duration of the `with` block."""
    hooks_before = list(_hooks(model))
    owners = [(m, m._modules) for m in model.modules() if isinstance(_held(m), Inserted)]
    detach(model)
    for owner, children in owners:
        owner._modules = {name: each for name, each in children.items() if name != HOLDER}
    try:
        yield
    finally:
        for owner, children in owners:
            owner._modules = children
        # Each is moved to the front, so the last one goes first.
        for host, key, hook in reversed(hooks_before):
            hooks: Any = host._forward_hooks
            hooks[key] = hook
            hooks.move_to_end(key, last=False)


def _held(owner: nn.Module) -> nn.Module | None:
    return owner._modules.get(HOLDER)


def _hooks(model: nn.Module) -> Iterator[tuple[nn.Module, int, AttentionHook]]:
    for module in model.modules():
        for key, hook in module._forward_hooks.items():
            if isinstance(hook, AttentionHook):
                yield module, key, hook
