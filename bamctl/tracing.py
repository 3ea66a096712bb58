"""One trace of a network by fvcore: shapes, module calls, multiply-adds and the dataflow graph."""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bamctl import operator_costs, units
from bamctl.errors import InputError, first_line

with warnings.catch_warnings():
    # fvcore scripts a few functions when it is imported, and torch.jit.script is deprecated.
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis
    from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS

Shape = tuple[int, ...]

# Their result has the shape of their argument, not its features.
_SHAPE_ONLY = frozenset(
    f"aten::{kind}"
    for kind in (
        "empty_like full_like new_empty new_full new_ones new_zeros ones_like zeros_like"
    ).split()
)


_CONTAINERS = frozenset({"prim::ListConstruct", "prim::TupleConstruct", "prim::DictConstruct"})


@dataclass(frozen=True)
class Operator:
    """One operator of the trace; `inputs` and `outputs` number the values that carry features.

    `ints` holds the constant integers among its arguments, such as the order of a permutation.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ints: tuple[int | tuple[int, ...], ...]


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module: its canonical name, and its first argument and result if tensors."""

    module: str
    input: int | None
    output: int | None


@dataclass(frozen=True)
class Trace:
    """What one forward pass in eval mode did, for a batch of one.

    `macs` counts multiply-adds of convolution, linear, matmul and attention, one multiply-add as
    1, by module (all that ran inside it; "" is the network). `elementwise_ops` counts everything
    else that computes: one operation for each output element, or input element where the operator
    reduces. `uncounted` lists operators without a formula; they are in neither number.
    """

    input_shape: Shape
    dtype: torch.dtype
    params: int
    macs: dict[str, int]
    elementwise_ops: dict[str, int]
    macs_by_operator: dict[str, int]
    uncounted: dict[str, int]
    operators: tuple[Operator, ...]
    calls: tuple[ModuleCall, ...]
    shapes: dict[int, Shape]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def trace(model: nn.Module, input_shape: tuple[int, int, int]) -> Trace:
    """Run the network once on an image of zeros, under fvcore, and write down what happened.

    The network is left as it was found: modes, hooks, buffers and random state.

    Args:
        model: any network of one image input.
        input_shape: channels, height and width; a batch of one is made of them.

    Raises:
        InputError: the network cannot run on such an input, or cannot be traced.
    """
    if any(nn.parameter.is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise InputError(f"{type(model).__name__} has layers without weights yet; run it once")
    with _left_as_found(model):
        try:
            example = _example(model, input_shape)
            recorder = _Recorder(model)
            analysis = _analyze(model, example)
        except (Exception, SystemExit) as error:  # whatever somebody else's code raises
            raise InputError(
                f"{type(model).__name__} cannot run on a {units.shape(input_shape)} input: "
                f"{first_line(error)}; try another --input"
            ) from error
    counted = analysis.by_module_and_operator()
    return Trace(
        input_shape=tuple(example.shape),
        dtype=example.dtype,
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs={name: operator_costs.total(costs, "macs") for name, costs in counted.items()},
        elementwise_ops={
            name: operator_costs.total(costs, "elementwise") for name, costs in counted.items()
        },
        macs_by_operator=_by_operator(counted[""]),
        uncounted=dict(analysis.unsupported_ops()),
        **_dataflow(recorder),
    )


def _by_operator(costs: Counter[str]) -> dict[str, int]:
    macs = ((key.removeprefix("macs:"), int(n)) for key, n in costs.items() if n > 0)
    return {kind: n for kind, n in macs if not kind.startswith("elementwise:")}


def _example(model: nn.Module, input_shape: tuple[int, int, int]) -> torch.Tensor:
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    return torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)


_HOOKS = ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_forward_hooks")


@contextmanager
def _left_as_found(model: nn.Module) -> Iterator[None]:
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


def _analyze(model: nn.Module, example: torch.Tensor) -> FlopCountAnalysis:
    analysis = FlopCountAnalysis(model, (example,))
    analysis.clear_op_handles()
    analysis.set_op_handle(**operator_costs.handles(_DEFAULT_SUPPORTED_OPS))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():
        # torch.jit.trace, under fvcore, is deprecated, and warns of every size that it fixes.
        warnings.simplefilter("ignore")
        analysis.by_module()
    return analysis


class _Recorder:
    """Forward hooks that tell which value of the graph each module took and returned.

    The graph is rewritten when the trace ends, and its values with it. Their names survive, so
    each value that a module sees is given one.
    """

    def __init__(self, model: nn.Module) -> None:
        self.calls: list[tuple[str, str | None, str | None]] = []
        self.graph: Any = None
        self._names = {module: name for name, module in model.named_modules()}
        self._num_marks = 0
        self._taken: list[str | None] = []
        for module in self._names:
            module.register_forward_pre_hook(self._enter, with_kwargs=True)
            module.register_forward_hook(self._leave)

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        # Marked on the way in: an in-place module has made it its result by the way out.
        self._taken.append(self._mark(next(iter((*inputs, *named.values())), None)))

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.graph = torch._C._get_tracing_state().graph()
        self.calls.append((self._names[module], self._taken.pop(), self._mark(output)))

    def _mark(self, tensor: Any) -> str | None:
        if not isinstance(tensor, torch.Tensor):
            return None
        value = torch._C._get_value_trace(tensor)  # type: ignore[attr-defined]
        if not value.debugName().startswith("bamctl_"):
            self._num_marks += 1
            value.setDebugName(f"bamctl_{self._num_marks}")
        name: str = value.debugName()
        return name


def _dataflow(recorder: _Recorder) -> dict[str, Any]:
    # The graph's inputs are the image, then every parameter and buffer.
    image, *_ = recorder.graph.inputs()
    operators = [node for node in recorder.graph.nodes() if node.kind() != "prim::Constant"]
    values = [image, *(value for node in operators for value in node.outputs())]
    shapes = {value.unique(): operator_costs.shape_of(value) for value in values}
    number = {value.debugName(): value.unique() for value in values}
    return {
        "operators": tuple(filter(None, map(_operator, operators))),
        "calls": tuple(
            ModuleCall(module, number.get(taken or ""), number.get(returned or ""))
            for module, taken, returned in recorder.calls
        ),
        "shapes": {value: shape for value, shape in shapes.items() if shape is not None},
        "inputs": (image.unique(),),
        "outputs": tuple(value.unique() for value in _flat(recorder.graph.outputs())),
    }


def _operator(node: Any) -> Operator | None:
    inputs = tuple(value.unique() for value in _flat(node.inputs()) if _carries_features(value))
    outputs = tuple(value.unique() for value in node.outputs() if _carries_features(value))
    if node.kind() in _SHAPE_ONLY or not inputs or not outputs:
        return None
    ints = (_constant_ints(value) for value in node.inputs())
    return Operator(node.kind(), inputs, outputs, tuple(i for i in ints if i is not None))


def _flat(values: Any) -> Iterator[Any]:
    """The values, with each list, tuple or dict made on the spot replaced by what it holds."""
    for value in values:
        if value.node().kind() in _CONTAINERS:
            yield from _flat(value.node().inputs())
        else:
            yield value


def _carries_features(value: Any) -> bool:
    """Whether a value is a tensor or holds some; numbers carry sizes, not features."""
    kind = value.type().kind()
    if kind == "ListType":
        return bool(value.type().getElementType().kind() == "TensorType")
    return kind in ("TensorType", "TupleType")


def _constant_ints(value: Any) -> int | tuple[int, ...] | None:
    node = value.node()
    if node.kind() == "prim::ListConstruct":
        items = [_constant_ints(item) for item in node.inputs()]
        return tuple(i for i in items if isinstance(i, int))
    constant = value.toIValue() if node.kind() == "prim::Constant" else None
    return constant if isinstance(constant, int) and not isinstance(constant, bool) else None
