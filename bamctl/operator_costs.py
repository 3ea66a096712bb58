"""What an operator of a trace costs: multiply-adds, elementwise operations, or nothing.

Every handle takes the operator's inputs and outputs as fvcore gives them, and returns a counter
with keys `macs:NAME` and `elementwise:NAME`.
"""

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

Costs = Counter[str]
Handle = Callable[[list[Any], list[Any]], Costs]

# fvcore has a formula for each of these, with one multiply-add as 1.
FVCORE_MACS = ("_convolution", "addmm", "bmm", "einsum", "linear", "matmul", "mm")

# One operation for each element of the output.
ELEMENTWISE = (
    "abs add add_ addcmul batch_norm bernoulli_ ceil clamp clamp_ clamp_min cos div div_ elu elu_ "
    "erf exp floor gelu grid_sampler group_norm hardsigmoid hardsigmoid_ hardswish hardswish_ "
    "hardtanh hardtanh_ instance_norm layer_norm leaky_relu leaky_relu_ lerp log log2 log_softmax "
    "maximum minimum mish mish_ mul mul_ neg pow prelu reciprocal relu relu6 relu6_ relu_ "
    "rms_norm rsqrt rsub selu sigmoid sigmoid_ silu silu_ sin softmax softplus sqrt square sub "
    "sub_ tanh tanh_ upsample_bicubic2d upsample_bilinear2d upsample_nearest2d upsample_nearest3d "
    "upsample_trilinear3d"
).split()

# One operation for each element of the input.
REDUCTIONS = (
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d "
    "adaptive_max_pool3d amax amin avg_pool1d avg_pool2d avg_pool3d cumsum linalg_vector_norm max "
    "max_pool1d max_pool2d max_pool2d_with_indices max_pool3d mean min norm prod std sum var"
).split()

# Copies, views, comparisons and work on shapes: no arithmetic on features.
FREE = (
    "alias all any broadcast_tensors clone dim dropout_ empty_like expand_as feature_dropout "
    "fill_ flip im2col index_select item le lift_fresh linspace logical_and logical_not "
    "logical_or lt masked_fill_ meshgrid movedim native_dropout ne new_ones numel ones_like pad "
    "pixel_shuffle pixel_unshuffle repeat repeat_interleave scalar_tensor scatter "
    "_shape_as_tensor tensor_split tile topk type_as unflatten unfold view_as where zero_"
).split()


def handles(fvcore_handles: dict[str, Callable[..., Any]]) -> dict[str, Handle | None]:
    """A handle for every operator with a known cost, by its full name; None is free.

    Args:
        fvcore_handles: fvcore's own formulas, by full operator name.
    """
    table: dict[str, Handle | None] = {f"aten::{kind}": None for kind in FREE}
    table |= {f"aten::{kind}": _elementwise(kind) for kind in ELEMENTWISE}
    table |= {f"aten::{kind}": _reduction(kind) for kind in REDUCTIONS}
    table |= {f"aten::{kind}": _macs(kind, fvcore_handles[f"aten::{kind}"]) for kind in FVCORE_MACS}
    return table | {
        "aten::addcmul": _addcmul,
        "aten::scaled_dot_product_attention": _scaled_dot_product_attention,
        "aten::_native_multi_head_attention": _multi_head_attention,
        "aten::_transformer_encoder_layer_fwd": _transformer_encoder_layer,
    }


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of a value of the trace, or None where it is not a tensor of known shape."""
    return tuple(value.type().sizes()) if value.isCompleteTensor() else None


def total(costs: Costs, family: str) -> int:
    """The sum of one family, `macs` or `elementwise`, over all operators."""
    return sum(int(value) for key, value in costs.items() if key.startswith(f"{family}:"))


def _shape(value: Any) -> tuple[int, ...]:
    return shape_of(value) or ()


def _numel(value: Any) -> int:
    # A tensor without dimensions carries a size that the trace computes with, not features.
    shape = _shape(value)
    return prod(shape) if shape else 0


def _costs(kind: str, macs: int = 0, elementwise: int = 0) -> Costs:
    return Counter({f"macs:{kind}": macs, f"elementwise:{kind}": elementwise})


def _elementwise(kind: str) -> Handle:
    return lambda inputs, outputs: _costs(kind, elementwise=_numel(outputs[0]))


def _reduction(kind: str) -> Handle:
    return lambda inputs, outputs: _costs(kind, elementwise=_numel(inputs[0]))


def _macs(kind: str, fvcore_handle: Callable[..., Any]) -> Handle:
    def handle(inputs: list[Any], outputs: list[Any]) -> Costs:
        counted = fvcore_handle(inputs, outputs)
        macs = sum(counted.values()) if isinstance(counted, Counter) else counted
        return _costs(kind.removeprefix("_"), macs=int(macs))

    return handle


def _addcmul(inputs: list[Any], outputs: list[Any]) -> Costs:
    return _costs("addcmul", elementwise=2 * _numel(outputs[0]))


def _attention_costs(kind: str, queries: int, keys: int, width: int) -> Costs:
    """Scores and weighted sum for all `queries` of the batch and heads, and their softmax.

    `width` is the sum of the widths of a key and a value.
    """
    return _costs(kind, macs=queries * keys * width, elementwise=queries * keys)


def _scaled_dot_product_attention(inputs: list[Any], outputs: list[Any]) -> Costs:
    query, key, value = (_shape(v) for v in inputs[:3])
    return _attention_costs(
        "scaled_dot_product_attention", prod(query[:-1]), key[-2], query[-1] + value[-1]
    )


def _multi_head_attention(inputs: list[Any], outputs: list[Any]) -> Costs:
    (batch, length, width), heads = _shape(inputs[0]), inputs[4].toIValue()
    return _self_attention("multi_head_attention", batch, length, width, heads)


def _transformer_encoder_layer(inputs: list[Any], outputs: list[Any]) -> Costs:
    (batch, length, width), heads = _shape(inputs[0]), inputs[2].toIValue()
    hidden, _ = _shape(inputs[14])
    tokens = batch * length
    kind = "transformer_encoder_layer"
    # Two layer norms and two residual sums over the width, one activation over the hidden layer.
    feed_forward = _costs(kind, 2 * tokens * width * hidden, tokens * (4 * width + hidden))
    return _self_attention(kind, batch, length, width, heads) + feed_forward


def _self_attention(kind: str, batch: int, length: int, width: int, heads: int) -> Costs:
    projections = _costs(kind, macs=batch * length * 4 * width * width)
    return projections + _attention_costs(kind, batch * heads * length, length, 2 * width // heads)
