"""The reason why a network cannot be traced, in one line: error, location and remedy."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from torch import nn

from bamctl.errors import first_line, let_through
from bamctl.networks import example, inputs
from bamctl.networks.restoring import left_as_found
from bamctl.tracing._running_module import Watch

# Parts of PyTorch's messages for untraceable code, and what they mean.
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
    """Return the error in one line, with the module and operator where it occurred.

    The network runs again, and again under the tracer if that succeeds.

    Args:
        model: the network.
        given: the shapes of its inputs, without the batch.
        error: the exception that it raised.
        analyze: function that traces a network with arguments.
    """
    name, message = type(model).__name__, _told(error)
    with left_as_found(model):
        watch = Watch(model)
        try:
            with watch:
                model(*example.arguments(model, given))
        except (Exception, SystemExit) as again:
            let_through(again)
            where = f"{inputs.text(given)} input: {message}{watch.place()}"
            return f"{name} cannot run on a {where}; try another --input"
        with suppress(Exception, SystemExit), watch:
            analyze(model, example.arguments(model, given))
        return f"{name} runs, but cannot be traced: {message}{watch.place()}"


def _told(error: BaseException) -> str:
    text = first_line(error)
    return next((meaning for said, meaning in _MEANINGS.items() if said in text), text)
