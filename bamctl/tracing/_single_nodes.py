"""Convolutions and batch norms recorded as one node each, which takes a third off many traces.

The tracer makes a node for every constant argument of an operator, some twenty for a convolution,
and stores the Python stack with each. PyTorch's own layers run while tracing is paused instead, and
their nodes are made without stacks. Whatever else could run meanwhile is left to the tracer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import BuiltinFunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from bamctl.networks.shapes_only import CUDNN_FLAGS

_CONVOLUTIONS: dict[type[nn.Module], str] = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "conv3d",
}


@contextmanager
def installed(model: nn.Module) -> Iterator[None]:
    """Let the convolutions and batch norms of a network be recorded so."""
    replaced = list(_stand_ins(model))
    for module, name, stand_in in replaced:
        vars(module)[name] = stand_in
    try:
        yield
    finally:
        for module, name, stand_in in replaced:
            if vars(module).get(name) is stand_in:
                del vars(module)[name]


def _stand_ins(model: nn.Module) -> Iterator[tuple[nn.Module, str, Callable[..., Any]]]:
    """Yield modules with the name of a method and what replaces it."""
    for module in model.modules():
        for kind in _CONVOLUTIONS:
            if isinstance(module, kind) and _is_inherited(module, "_conv_forward", kind):
                yield module, "_conv_forward", partial(_convolve, module, kind)
        if isinstance(module, _BatchNorm) and _is_inherited(module, "forward", _BatchNorm):
            yield module, "forward", partial(_normalize, module)


def _is_inherited(module: nn.Module, method: str, kind: type[nn.Module]) -> bool:
    return method not in vars(module) and getattr(type(module), method) is getattr(kind, method)


def _convolve(module: Any, kind: Any, x: Any, weight: Any, bias: Any) -> Any:
    run = partial(kind._conv_forward, module, x, weight, bias)
    sizes = (module.stride, module.padding, module.dilation)
    is_usual = (
        module.padding_mode == "zeros"
        and all(type(each) is int for size in sizes for each in (*size, module.groups))
        and type(getattr(functional, _CONVOLUTIONS[kind])) is BuiltinFunctionType
        and _is_recordable(x, weight, bias)
        and x.dim() == weight.dim()
    )
    if not is_usual:
        return run()
    extra = [0] * len(module.stride)
    constants = (*map(list, sizes), False, extra, module.groups, *CUDNN_FLAGS)
    return _recorded("aten::_convolution", run, (x, weight, bias), constants)


def _normalize(module: Any, x: Any) -> Any:
    run = partial(_BatchNorm.forward, module, x)
    tensors = (x, module.weight, module.bias, module.running_mean, module.running_var)
    momentum = 0.0 if module.momentum is None else module.momentum
    is_usual = (
        not module.training
        # With statistics of the batch, its size is checked, which is traced.
        and module.running_mean is not None
        and module.running_var is not None
        and [type(each) for each in (momentum, module.eps)] == [float, float]
        and type(torch.batch_norm) is BuiltinFunctionType
        and functional.batch_norm.__module__ == functional.__name__
        and _is_recordable(*tensors)
    )
    if not is_usual:
        return run()
    constants = (False, momentum, module.eps, True)
    return _recorded("aten::batch_norm", run, tensors, constants)


def _is_recordable(*tensors: Any) -> bool:
    """Return whether the tracer would record one operator, and not casts or parts of it."""
    given = [each for each in tensors if each is not None]
    if any(type(each) not in (Tensor, nn.Parameter) for each in given):
        return False
    device = given[0].device.type
    return (
        torch._C._get_tracing_state() is not None
        and all(each.is_floating_point() and not each.is_neg() for each in given)
        and torch.amp.is_autocast_available(device)
        and not torch.is_autocast_enabled(device)
        and torch._C._functorch.peek_interpreter_stack() is None
        and not torch._C._len_torch_function_stack()
    )


def _recorded(
    kind: str, run: Callable[[], Any], tensors: Sequence[Tensor | None], constants: Sequence[Any]
) -> Any:
    """Run an operator untraced, and insert its node into the graph.

    Args:
        kind: the kind of the node.
        run: function that runs the operator.
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
        result = run()
    finally:
        tracer._set_tracing_state(state)
    output = graph.insertNode(graph.create(kind, inputs, 1)).output()
    output.inferTypeFrom(result)
    tracer._set_value_trace(result, output)
    return result
