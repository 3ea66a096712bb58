"""The cost of a traced operator: multiply-adds, elementwise operations, or nothing.

Every handle takes the operator's inputs and outputs as fvcore passes them, and returns a counter
with keys `macs:NAME` and `elementwise:NAME`.
"""

from collections import Counter
from collections.abc import Callable
from math import prod
from operator import index
from typing import Any

from bamctl.errors import InputError, described, did_you_mean
from bamctl.tracing._mac_formulas import FORMULAS, Formula, shape, shape_of
from bamctl.tracing.operators import OPERATORS, OperatorKind, of

Costs = Counter[str]
Handle = Callable[[list[Any], list[Any]], Costs]
# A user-defined formula: takes the arguments and results of the operator, returns its operations.
Count = Callable[[list[Any], list[Any]], int]

_registered: dict[str, Handle] = {}


def register_operator(
    name: str, *, macs: Count | None = None, elementwise: Count | None = None
) -> None:
    """Register formulas for an operator of PyTorch or a library that is listed as uncounted.

    Both functions are called with two lists for each call of the operator in a traced network: its
    arguments in the order of its schema, and its results. A tensor is passed as its shape, a tuple
    of integers with a batch of 1; lists are passed as lists, and numbers, strings and None as they
    are. They return an integer; a function that is left out counts 0. The registration holds for
    every trace of the process; a second one for the same operator replaces the first.

    Args:
        name: the full name, as it is listed, such as `mylib::scan`. An operator of
            `torch.library.custom_op` must be defined first.
        macs: returns the multiply-adds of one call, one multiply-add as 1.
        elementwise: returns the elementwise operations of one call.

    Raises:
        InputError: the operator does not exist or is counted already, or neither function is
            passed.

    >>> from math import prod
    >>> import bamctl
    >>> bamctl.register_operator(
    ...     "aten::cdist",
    ...     # A difference, its square and a sum for each coordinate of each pair of points.
    ...     elementwise=lambda inputs, outputs: 3 * prod(outputs[0]) * inputs[0][-1],
    ... )
    """
    _check_name(name)
    if macs is None and elementwise is None:
        raise InputError(f"{name}: pass macs, elementwise or both; a function may return 0")
    _registered[name] = _counted_by(name, macs, elementwise)


def _check_name(name: str) -> None:
    import torch

    if of(name).cost is not None:
        raise InputError(f"{name} is already counted and cannot be registered")
    known = {schema.name for schema in torch._C._jit_get_all_schemas()}
    if name not in known:
        near = did_you_mean(name, known) or "; write it as it is listed, such as mylib::scan"
        raise InputError(f"unknown operator {name!r}{near}")


def _counted_by(name: str, macs: Count | None, elementwise: Count | None) -> Handle:
    def handle(inputs: list[Any], outputs: list[Any]) -> Costs:
        given, made = list(map(_plain, inputs)), list(map(_plain, outputs))
        try:
            counts = [count(given, made) if count else 0 for count in (macs, elementwise)]
            return _costs(name, *map(index, counts))
        except Exception as error:
            raise InputError(f"cannot compute the cost of {name}: {described(error)}") from error

    return handle


def _plain(value: Any) -> Any:
    """Return a tensor's shape, a list of its items, or a constant; None for an unknown value."""
    if value.node().kind() == "prim::ListConstruct":
        return [_plain(each) for each in value.node().inputs()]
    found = shape_of(value)
    return value.toIValue() if found is None else found


def handles() -> dict[str, Handle | None]:
    """Return a handle for every operator with a known cost, by its full name; None if it is free.

    An in-place operator, whose name ends with `_`, costs as much as the plain one.
    """
    table = {name: _handle(name, kind) for name, kind in OPERATORS.items() if kind.cost}
    return {f"{kind}_": handle for kind, handle in table.items()} | table | _registered


def _handle(name: str, kind: OperatorKind) -> Handle | None:
    if name in _OWN:
        return _OWN[name]
    match kind.cost:
        case "macs":
            return _macs(name, FORMULAS[name])
        case "elementwise":
            return _elementwise(name.partition("::")[2])
        case "reduction":
            return _reduction(name.partition("::")[2])
    return None


def total(costs: Costs, family: str) -> int:
    """Return the sum of one family, `macs` or `elementwise`, over all operators."""
    return sum(int(value) for key, value in costs.items() if key.startswith(f"{family}:"))


def _numel(value: Any) -> int:
    # A 0-d tensor is a size in the trace, not a feature.
    extents = shape(value)
    return prod(extents) if extents else 0


def _costs(kind: str, macs: int = 0, elementwise: int = 0) -> Costs:
    # Without zeros, since fvcore adds each count to that of every module around it.
    counts = {f"macs:{kind}": macs, f"elementwise:{kind}": elementwise}
    return Counter({key: count for key, count in counts.items() if count})


def _elementwise(kind: str) -> Handle:
    return lambda inputs, outputs: _costs(kind, elementwise=_numel(outputs[0]))


def _reduction(kind: str) -> Handle:
    return lambda inputs, outputs: _costs(kind, elementwise=_numel(inputs[0]))


def _macs(kind: str, formula: Formula) -> Handle:
    # The public name: `convolution`, not `_convolution` or `_convolution_mode`.
    name = kind.partition("::")[2].removeprefix("_").removesuffix("_mode")
    return lambda inputs, outputs: _costs(name, macs=formula(inputs, outputs))


def _addcmul(inputs: list[Any], outputs: list[Any]) -> Costs:
    return _costs("addcmul", elementwise=2 * _numel(outputs[0]))


def _attention_costs(kind: str, queries: int, keys: int, width: int) -> Costs:
    """Return the cost of scores, softmax and weighted sum for all `queries` of batch and heads.

    `width` is the sum of the widths of a key and a value.
    """
    return _costs(kind, macs=queries * keys * width, elementwise=queries * keys)


def _scaled_dot_product_attention(inputs: list[Any], outputs: list[Any]) -> Costs:
    query, key, value = (shape(v) for v in inputs[:3])
    return _attention_costs(
        "scaled_dot_product_attention", prod(query[:-1]), key[-2], query[-1] + value[-1]
    )


def _multi_head_attention(inputs: list[Any], outputs: list[Any]) -> Costs:
    (batch, length, width), heads = shape(inputs[0]), inputs[4].toIValue()
    return _self_attention("multi_head_attention", batch, length, width, heads)


def _transformer_encoder_layer(inputs: list[Any], outputs: list[Any]) -> Costs:
    (batch, length, width), heads = shape(inputs[0]), inputs[2].toIValue()
    hidden, _ = shape(inputs[14])
    tokens = batch * length
    kind = "transformer_encoder_layer"
    # Two layer norms and two residual sums over the width, one activation over the hidden layer.
    feed_forward = _costs(kind, 2 * tokens * width * hidden, tokens * (4 * width + hidden))
    return _self_attention(kind, batch, length, width, heads) + feed_forward


def _self_attention(kind: str, batch: int, length: int, width: int, heads: int) -> Costs:
    projections = _costs(kind, macs=batch * length * 4 * width * width)
    return projections + _attention_costs(kind, batch * heads * length, length, 2 * width // heads)


# Operators that cost both families, or more than one operation for each element.
_OWN: dict[str, Handle] = {
    "aten::addcmul": _addcmul,
    "aten::scaled_dot_product_attention": _scaled_dot_product_attention,
    "aten::_native_multi_head_attention": _multi_head_attention,
    "aten::_transformer_encoder_layer_fwd": _transformer_encoder_layer,
}
