"""One trace of a network by fvcore: shapes, module calls, multiply-adds and the dataflow graph."""

import warnings
from collections import Counter
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import torch
from torch import Tensor, nn

from bamctl.errors import InputError, check_machine, let_through
from bamctl.networks import example, inputs
from bamctl.networks.restoring import left_as_found
from bamctl.networks.shapes_only import NumbersNeededError, ShapesOnly, has_no_weights
from bamctl.networks.structures import tensors
from bamctl.networks.wrappers import refuse_untraceable
from bamctl.tracing import _single_nodes as single_nodes
from bamctl.tracing import _stand_ins as stand_ins
from bamctl.tracing import operator_costs
from bamctl.tracing._failure_location import why_it_stopped
from bamctl.tracing._mac_formulas import shape_of
from bamctl.tracing._reader import Operator, Reader
from bamctl.tracing._recorder import Item, ModuleCall, Recorder, drop_unused, keep_unused

with warnings.catch_warnings():
    # fvcore scripts a few functions when it is imported, and torch.jit.script is deprecated.
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis

__all__ = ["Item", "ModuleCall", "Operator", "Shape", "Trace", "trace"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Trace:
    """A trace of one forward pass in eval mode, with a batch size of 1.

    `given` are the shapes of the network's inputs; `inputs` and `outputs` are the ids of the
    tensors among its arguments and results. `shapes` are the shapes of computed values, `weights`
    those of parameters and buffers. The work of a detector's heads (`is_detector`) is
    data-dependent; here the image is zeros.

    `macs` counts the multiply-adds of convolution, linear, matmul and attention, one multiply-add
    as 1, by module, with everything that runs inside it, used or not; "" is the network.
    `elementwise_ops` counts all other arithmetic: one operation for each output element, or for
    each input element of a reduction. `uncounted` lists operators without a formula, which are in
    neither number. `operators` has only those that contribute to the results.
    """

    given: inputs.Inputs
    dtype: torch.dtype
    params: int
    macs: dict[str, int]
    elementwise_ops: dict[str, int]
    macs_by_operator: dict[str, int]
    uncounted: dict[str, int]
    operators: tuple[Operator, ...]
    calls: tuple[ModuleCall, ...]
    shapes: dict[int, Shape]
    weights: dict[int, Shape]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_detector: bool = False

    @property
    def input_shape(self) -> Shape:
        """The shape of the first input, with the batch."""
        return (1, *self.given[0].shape)


def trace(model: nn.Module, given: inputs.InputsLike) -> Trace:
    """Trace one forward pass of a network on zeros with fvcore.

    The network is left unchanged: modes, hooks, buffers and random state.

    Args:
        model: any network.
        given: the shapes of its inputs without the batch, such as (channels, height, width); it
            runs on a batch of one.

    Raises:
        InputError: the network cannot run on such an input, or cannot be traced; the message names
            the module and the operator that failed.
    """
    refuse_untraceable(model)
    if any(nn.parameter.is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise InputError(f"{type(model).__name__} has uninitialized (lazy) layers; run it once")
    given = inputs.read(given)
    try:
        analysis, recorder, num_inputs = _recorded(model, given)
    except (Exception, SystemExit) as error:  # whatever user code raises
        let_through(error)
        check_machine(error, f"{type(model).__name__} cannot run on a {inputs.text(given)} input")
        raise InputError(why_it_stopped(model, given, error, _analyze)) from error
    counted = {unquote(name): costs for name, costs in analysis.by_module_and_operator().items()}
    return Trace(
        given=given,
        dtype=example.typical_weight(model).dtype,
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs={name: operator_costs.total(costs, "macs") for name, costs in counted.items()},
        elementwise_ops={
            name: operator_costs.total(costs, "elementwise") for name, costs in counted.items()
        },
        macs_by_operator=_by_operator(counted[""]),
        uncounted=dict(analysis.unsupported_ops()),
        is_detector=example.is_detector(model),
        **_dataflow(recorder, num_inputs),
    )


def _recorded(model: nn.Module, given: inputs.Inputs) -> tuple[FlopCountAnalysis, Recorder, int]:
    """Return the analysis, the recorder, and the number of tensors among the arguments."""
    if has_no_weights(model):
        # Values would be meaningless, so they are computed only if shapes depend on them.
        with suppress(NumbersNeededError):
            return _run(model, given, ShapesOnly())  # type: ignore[no-untyped-call]
    return _run(model, given, nullcontext())


def _run(
    model: nn.Module, given: inputs.Inputs, how: AbstractContextManager[Any]
) -> tuple[FlopCountAnalysis, Recorder, int]:
    with left_as_found(model):
        arguments = example.arguments(model, given)
        recorder = Recorder(model)
        with how:
            analysis = _analyze(model, arguments)
    return analysis, recorder, _num_tensors(arguments)


def _num_tensors(arguments: tuple[Any, ...]) -> int:
    return sum(len(each) if isinstance(each, list) else 1 for each in arguments)


def _by_operator(costs: Counter[str]) -> dict[str, int]:
    macs = ((key.removeprefix("macs:"), int(n)) for key, n in costs.items() if n > 0)
    return {kind: n for kind, n in macs if not kind.startswith("elementwise:")}


def _analyze(model: nn.Module, arguments: tuple[Any, ...]) -> FlopCountAnalysis:
    model.register_forward_hook(_end)
    analysis = _Analysis(model, arguments)
    analysis.clear_op_handles()
    analysis.set_op_handle(**operator_costs.handles())
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings(), stand_ins.installed(), single_nodes.installed(model):
        # fvcore uses torch.jit.trace, which is deprecated and warns of every size that it bakes in.
        warnings.simplefilter("ignore")
        analysis.by_module()
    return analysis


class _Analysis(FlopCountAnalysis):  # type: ignore[misc]
    """fvcore's analysis, for module names with slashes too, at which fvcore splits names.

    It asks for the ancestors of a module once for each operator, so the answers are kept.
    """

    def __init__(self, model: nn.Module, arguments: tuple[Any, ...]) -> None:
        super().__init__(model, arguments)
        self._ancestors: dict[str, set[str]] = {}

    def _get_all_ancestors(self, module_name: str) -> set[str]:
        if module_name not in self._ancestors:
            self._ancestors[module_name] = super()._get_all_ancestors(module_name)
        return self._ancestors[module_name]

    def _get_aliases(self, model: nn.Module) -> dict[Any, str]:
        aliases: dict[Any, str] = super()._get_aliases(model)
        return {_quoted(key): quote(name, safe="") for key, name in aliases.items()}


def _quoted(key: str | nn.Module) -> str | nn.Module:
    return quote(key, safe="") if isinstance(key, str) else key


def _end(model: nn.Module, given: tuple[Any, ...], result: Any) -> Any:
    """Return the tensors of a result as a tuple, or the result itself if it has none.

    The tracer rejects numbers and strings in a result, which are legal for a network.
    """
    keep_unused(torch._C._get_tracing_state().graph())
    found_tensors = tuple(tensor for _, tensor in tensors(result))
    return result if isinstance(result, Tensor) or not found_tensors else found_tensors


def _dataflow(recorder: Recorder, num_inputs: int) -> dict[str, Any]:
    drop_unused(recorder.graph)
    # The graph's inputs are those of the network, then every parameter and buffer.
    inputs = list(recorder.graph.inputs())
    network_inputs, weights = inputs[:num_inputs], inputs[num_inputs:]
    reader = Reader(inputs)
    operators = list(filter(None, map(reader.operator, recorder.graph.nodes())))
    values = [*network_inputs, *reader.computed]
    number = {value.debugName(): value.unique() for value in values}
    return {
        "operators": tuple(operators),
        "calls": tuple(call.numbered(number) for call in recorder.calls),
        "shapes": _shapes(values),
        "weights": _shapes(weights),
        "inputs": tuple(value.unique() for value in network_inputs),
        "outputs": reader.held(recorder.graph.outputs()),
    }


def _shapes(values: list[Any]) -> dict[int, Shape]:
    shapes = ((value.unique(), shape_of(value)) for value in values)
    return {value: shape for value, shape in shapes if shape is not None}
