"""Convolutions and batch norms recorded as one node each, which halves the time of some traces.

The tracer makes a node for every constant argument of an operator, some twenty for a convolution,
and stores the Python stack with each. These operators run while tracing is paused instead, and
their nodes are made without stacks.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def convolution(axes: int) -> Any:
    """Return a stand-in for `conv1d`, `conv2d` or `conv3d`, with so many axes."""

    def stand_in(original: Any) -> Any:
        def convolve(
            input: Any,  # noqa: A002 - the name is PyTorch's
            weight: Any,
            bias: Any = None,
            stride: Any = 1,
            padding: Any = 0,
            dilation: Any = 1,
            groups: Any = 1,
        ) -> Any:
            given = (input, weight, bias, stride, padding, dilation, groups)
            sizes = [_each(value, axes) for value in (stride, padding, dilation)]
            is_usual = None not in sizes and type(groups) is int
            if not is_usual or not _is_recordable(given[:3]) or input.dim() != axes + 2:
                return original(*given)
            cudnn = torch.backends.cudnn
            settings = (cudnn.benchmark, cudnn.deterministic, cudnn.enabled, cudnn.allow_tf32)
            constants = (*sizes, False, [0] * axes, groups, *settings)
            return _recorded("aten::_convolution", original, given, given[:3], constants)

        return convolve

    return stand_in


def batch_norm(original: Any) -> Any:
    """Return a stand-in for `torch.batch_norm`."""

    def normalize(*given: Any, **named: Any) -> Any:
        tensors, constants = given[:5], given[5:]
        is_usual = not named and [type(each) for each in constants] == [bool, float, float, bool]
        if not is_usual or not _is_recordable(tensors):
            return original(*given, **named)
        return _recorded("aten::batch_norm", original, given, tensors, constants)

    return normalize


def _each(value: Any, axes: int) -> list[int] | None:
    """Return an integer for each axis, or None for something else, such as traced sizes."""
    values = list(value) if isinstance(value, tuple | list) else [value] * axes
    is_usual = len(values) == axes and all(type(each) is int for each in values)
    return values if is_usual else None


def _is_recordable(tensors: Sequence[Any]) -> bool:
    """Return whether the tracer would record one operator, and not casts or parts of it."""
    return (
        torch._C._get_tracing_state() is not None
        and all(type(each) in (Tensor, nn.Parameter) for each in tensors if each is not None)
        and all(each.is_floating_point() for each in tensors if each is not None)
        and not torch.is_autocast_enabled(tensors[0].device.type)
        and torch._C._functorch.peek_interpreter_stack() is None
    )


def _recorded(
    kind: str,
    original: Any,
    given: Sequence[Any],
    tensors: Sequence[Tensor | None],
    constants: Sequence[Any],
) -> Any:
    """Run an operator untraced, and insert its node into the graph.

    Args:
        kind: the kind of the node.
        original: the function that runs the operator.
        given: its arguments.
        tensors: the first inputs of the node.
        constants: the other ones.
    """
    tracer: Any = torch._C
    state = tracer._get_tracing_state()
    graph = state.graph()
    values = [None if each is None else tracer._get_value_trace(each) for each in tensors]
    inputs = [graph.insertConstant(None) if value is None else value for value in values]
    inputs += map(graph.insertConstant, constants)
    tracer._set_tracing_state(None)
    try:
        result = original(*given)
    finally:
        tracer._set_tracing_state(state)
    output = graph.insertNode(graph.create(kind, inputs, 1)).output()
    output.inferTypeFrom(result)
    tracer._set_value_trace(result, output)
    return result
