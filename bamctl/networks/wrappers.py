"""Detection of wrapped, compiled or converted networks, where a change would have no effect."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from bamctl.errors import InputError


@dataclass(frozen=True)
class _Wrapper:
    """One kind of wrapped, compiled or converted network.

    `matches` detects it, `why` is the reason not to change it, and `instead` the remedy, with
    `{verb}` for the requested change. `traceable` is true if it can be analysed as it is;
    `closed` is true if it cannot even be analysed as a part of another network.
    """

    matches: Callable[[nn.Module], bool]
    why: str
    instead: str
    traceable: bool = False
    closed: bool = False


def _of_class(*names: str) -> Callable[[nn.Module], bool]:
    """Return a test for PyTorch's classes by name, without importing them."""

    def matches(model: nn.Module) -> bool:
        kinds = type(model).__mro__
        return any(
            kind.__name__ in names and kind.__module__.startswith("torch.") for kind in kinds
        )

    return matches


_is_graph = _of_class("GraphModule")

_WRAPPERS = (
    _Wrapper(
        _of_class("DistributedDataParallel"),
        "is wrapped in DistributedDataParallel, which does not average the gradients of parameters "
        "added later",
        "{verb} the wrapped network (.module), and wrap it again",
        traceable=True,
    ),
    _Wrapper(
        _of_class("DataParallel"),
        "is wrapped in DataParallel, whose replicas would share one module on one device",
        "{verb} the wrapped network (.module), and use DistributedDataParallel",
        traceable=True,
    ),
    _Wrapper(
        _of_class("FullyShardedDataParallel", "FSDPModule"),
        "is already sharded, and a new module would not be",
        "{verb} the network before it is sharded",
    ),
    _Wrapper(
        _of_class("OptimizedModule"),
        "is compiled, and the compiled code would not change",
        "{verb} the original network (._orig_mod), and compile it again",
    ),
    _Wrapper(
        lambda model: getattr(model, "_compiled_call_impl", None) is not None,
        "is compiled in place by model.compile(), and the compiled code would not change",
        "{verb} the network before compiling it",
    ),
    _Wrapper(
        lambda model: isinstance(model, torch.jit.ScriptModule),
        "is TorchScript, which cannot be changed or analysed",
        "{verb} the network before torch.jit",
        closed=True,
    ),
    _Wrapper(
        # PyTorch overrides `eval` on instances of exported graphs.
        lambda model: _is_graph(model) and "eval" in vars(model),
        "is a graph of torch.export, which has no modules",
        "{verb} the network before it is exported",
    ),
)


def refuse(model: nn.Module, verb: str, *, name: str = "") -> None:
    """Refuse to change a network or module that is wrapped, compiled or converted.

    Args:
        model: the network or module to change.
        verb: the change for the message, such as `insert into`.
        name: the name of the module in the network; empty for the network itself.

    Raises:
        InputError: it is wrapped, compiled or converted; the message names the remedy.
    """
    for wrapper in _WRAPPERS:
        if wrapper.matches(model):
            what = f"module {name!r}" if name else "the network"
            raise InputError(f"{what} {wrapper.why}; {wrapper.instead.format(verb=verb)}")


def refuse_untraceable(model: nn.Module) -> None:
    """Refuse to trace a network that PyTorch's tracer cannot follow.

    Raises:
        InputError: it is compiled, sharded or converted, or a part of it is TorchScript; the
            message names the remedy.
    """
    if not any(wrapper.traceable and wrapper.matches(model) for wrapper in _WRAPPERS):
        refuse(model, "analyse")
    for name, module in model.named_modules():
        if any(wrapper.closed and wrapper.matches(module) for wrapper in _WRAPPERS):
            refuse(module, "analyse", name=name)


def refuse_graph(model: nn.Module) -> None:
    """Refuse to search for blocks in a graph of torch.fx.

    Raises:
        InputError: the network is such a graph.
    """
    if _is_graph(model):
        raise InputError(
            "the network is a graph of torch.fx, whose blocks are no longer modules; insert into "
            "the network before it is traced, or name layers of the graph under 'where'"
        )
