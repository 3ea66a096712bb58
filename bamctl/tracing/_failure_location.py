"""Why a network cannot be traced, in a line: what went wrong, where, and what can be done."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch import nn

from bamctl.errors import first_line, let_through
from bamctl.networks import example, inputs
from bamctl.networks.restoring import left_as_found
from bamctl.tracing._running_module import Watch

# What PyTorch says of what it cannot trace, and what that means.
_MEANINGS = {
    "unordered_map::at": "it runs modules inside a torch.autograd.Function whose `apply` is kept "
    "under another name (`f = Function.apply`); call `Function.apply` where it is used",
    "torch.jit.trace a dynamo-optimized function": "a part of it is compiled; analyse the network "
    "before torch.compile",
}


def why_it_stopped(
    model: nn.Module,
    given: inputs.Inputs,
    error: BaseException,
    analyze: Callable[[nn.Module, tuple[Any, ...]], Any],
) -> str:
    """Return the error in a line, with the module and operator where it occurred.

    The network runs once more, and once more under the tracer if it does run.

    Args:
        model: the network.
        given: what it was given.
        error: what it raised.
        analyze: traces a network for its arguments.
    """
    name, told = type(model).__name__, _told(error)
    with left_as_found(model):
        watch = Watch(model)
        try:
            with watch:
                model(*example.arguments(model, given))
        except (Exception, SystemExit) as again:
            let_through(again)
            where = f"{inputs.text(given)} input: {told}{watch.place()}"
            return f"{name} cannot run on a {where}; try another --input"
        with suppress(Exception, SystemExit), watch:
            analyze(model, example.arguments(model, given))
        return f"{name} runs, but cannot be traced: {told}{watch.place()}"


def _told(error: BaseException) -> str:
    text = first_line(error)
    return next((meaning for said, meaning in _MEANINGS.items() if said in text), text)
