"""The forward hook that applies an attention module to the output of another module."""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from bamctl.networks.structures import picked, replaced

# The submodule of the root that owns everything inserted. Its name is in every checkpoint.
HOLDER = "inserted"


class Inserted(nn.ModuleDict):
    """Owns the inserted modules, so that optimizers, devices and checkpoints see them.

    Called as a layer it returns its input, since a root that runs all its children, such as an
    `nn.Sequential`, calls this one too.
    """

    def forward(self, x: Any) -> Any:
        """Return the input itself."""
        return x


class AttentionHook:
    """Applies an attention module to what its host returns.

    An object and not a closure: `copy.deepcopy` and `pickle` take it along with the network, and
    keep it pointing at the network's own copy of the module. Of a host that returns more than the
    feature map, `item` is the index, key or attribute of the map in its result.

    It runs before every hook of the network's own, so that networks which collect the outputs of
    their blocks by hooks collect the refined ones.
    """

    def __init__(self, attention: nn.Module, item: int | str | None = None) -> None:
        self.attention = attention
        self.item = item
        # Pickled along, it keeps later hooks from getting the same number in another process.
        self.handle: RemovableHandle | None = None

    def __call__(self, host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """Return the refined output, which takes the place of the host's own."""
        if self.attention.training != host.training:
            # A part of the network that is used alone, as `IntermediateLayerGetter` does, has its
            # mode set without the root, and so without us.
            self.attention.train(host.training)
        if self.item is None:
            return self.attention(output)
        return replaced(output, self.item, self.attention(picked(output, self.item)))

    def attach(self, host: nn.Module) -> None:
        """Run before every other forward hook of the host."""
        self.handle = host.register_forward_hook(self, prepend=True)


def attach(host: nn.Module, attention: nn.Module, item: int | str | None = None) -> None:
    """Apply an attention module to everything that the host returns from now on.

    Args:
        host: the module whose output is refined.
        attention: what refines it.
        item: index, key or attribute of the feature map, where the host returns more than that.
    """
    AttentionHook(attention, item).attach(host)


def is_attached(host: nn.Module) -> bool:
    """Return whether an attention module is applied to what the host itself returns."""
    return bool(attached(host))


def attached(host: nn.Module) -> list[nn.Module]:
    """Return the attention modules that are applied to what the host itself returns."""
    hooks = host._forward_hooks.values()
    return [hook.attention for hook in hooks if isinstance(hook, AttentionHook)]


def detach(model: nn.Module, only: Container[nn.Module] | None = None) -> None:
    """Stop applying attention modules, all or only some, in a network and in all its parts."""
    for host, key, hook in list(_hooks(model)):
        if only is None or hook.attention in only:
            del host._forward_hooks[key]


@contextmanager
def detached(model: nn.Module) -> Iterator[None]:
    """The network as it was before anything was inserted, for as long as the block runs."""
    found = list(_hooks(model))
    owners = [(m, m._modules) for m in model.modules() if isinstance(_held(m), Inserted)]
    detach(model)
    for owner, children in owners:
        owner._modules = {name: each for name, each in children.items() if name != HOLDER}
    try:
        yield
    finally:
        for owner, children in owners:
            owner._modules = children
        # Each goes before what is there, so the last one first.
        for host, key, hook in reversed(found):
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
