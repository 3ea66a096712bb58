"""What an operator of a trace costs: multiply-adds, elementwise operations, or nothing.

Every handle takes the operator's inputs and outputs as fvcore gives them, and returns a counter
with keys `macs:NAME` and `elementwise:NAME`.
"""

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

from bamctl.mac_formulas import FORMULAS, Formula, shape

Costs = Counter[str]
Handle = Callable[[list[Any], list[Any]], Costs]

# One operation for each element of the output.
ELEMENTWISE = (
    "abs absolute acos acosh add addcdiv addr angle arccos arccosh arcsin arcsinh arctan arctan2 "
    "arctanh asin asinh atan atan2 atanh batch_norm bernoulli binary_cross_entropy "
    "binary_cross_entropy_with_logits ceil celu clamp clamp_max clamp_min clip copysign cos cosh "
    "cross deg2rad digamma div divide elu erf erfc erfinv exp exp2 expm1 fix float_power floor "
    "fmax fmin fmod frac gelu ger glu grid_sampler grid_sampler_2d grid_sampler_3d group_norm "
    "hardshrink hardsigmoid hardswish hardtanh heaviside hypot index_add index_reduce "
    "instance_norm kron layer_norm ldexp leaky_relu lerp lgamma log log10 log1p log2 log_sigmoid "
    "log_softmax logaddexp logaddexp2 logit maximum minimum mish mul multiply native_batch_norm "
    "native_group_norm native_layer_norm neg negative outer polar pow prelu rad2deg reciprocal "
    "relu relu6 rms_norm round rrelu rsqrt rsub scatter_add scatter_reduce selu sgn sigmoid silu "
    "sin sinc sinh softmax softplus softshrink sqrt square sub subtract tan tanh threshold "
    "true_divide trunc upsample_bicubic2d _upsample_bicubic2d_aa upsample_bilinear2d "
    "_upsample_bilinear2d_aa upsample_linear1d upsample_nearest1d upsample_nearest2d "
    "upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
    "_upsample_nearest_exact3d upsample_trilinear3d xlogy"
).split()

# One operation for each element of the input.
REDUCTIONS = (
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d amax amin aminmax avg_pool1d avg_pool2d avg_pool3d "
    "col2im cosine_similarity cummax cummin cumprod cumsum dist fractional_max_pool2d "
    "fractional_max_pool3d frobenius_norm huber_loss kl_div l1_loss linalg_matrix_norm linalg_norm "
    "linalg_vector_norm logcumsumexp logsumexp max max_pool1d max_pool1d_with_indices max_pool2d "
    "max_pool2d_with_indices max_pool3d max_pool3d_with_indices mean min mse_loss nanmean nansum "
    "norm nuclear_norm pairwise_distance prod smooth_l1_loss std std_mean sum trace var var_mean"
).split()

# Copies, views, comparisons, random numbers and work on shapes: no arithmetic on features. So is
# dropout, which does nothing in eval mode.
FREE = (
    "adjoint alias all alpha_dropout any arange argmax argmin argsort argwhere as_strided "
    "atleast_1d atleast_2d atleast_3d bincount bitwise_and bitwise_left_shift bitwise_not "
    "bitwise_or bitwise_right_shift bitwise_xor block_diag broadcast_tensors broadcast_to "
    "bucketize cartesian_prod cat channel_shuffle chunk clone column_stack complex concat "
    "concatenate conj conj_physical constant_pad_nd contiguous copy count_nonzero cpu cuda data "
    "detach diag diag_embed diagflat diagonal diagonal_scatter dim dropout dsplit dstack embedding "
    "empty empty_like empty_permuted empty_strided eq equal expand expand_as eye "
    "feature_alpha_dropout feature_dropout fill flatten flip fliplr flipud floor_divide full "
    "full_like gather ge greater greater_equal gt hsplit hstack im2col imag index index_copy "
    "index_fill index_put index_select is_complex is_floating_point is_nonzero is_same_size "
    "isclose isfinite isin isinf isnan isneginf isposinf isreal item kthvalue le less less_equal "
    "lift lift_fresh lift_fresh_copy linspace logical_and logical_not logical_or logical_xor "
    "logspace lt mH mT masked_fill masked_scatter masked_select matrix_H max_unpool2d max_unpool3d "
    "median meshgrid mode moveaxis movedim msort multinomial narrow native_channel_shuffle "
    "native_dropout ne new_empty new_empty_strided new_full new_ones new_zeros nonzero "
    "nonzero_numpy nonzero_static normal not_equal numel numpy_T one_hot ones ones_like pad "
    "pad_sequence permute pin_memory pixel_shuffle pixel_unshuffle positive rand rand_like randint "
    "randint_like randn randn_like random randperm ravel real reflection_pad1d reflection_pad2d "
    "reflection_pad3d remainder repeat repeat_interleave replication_pad1d replication_pad2d "
    "replication_pad3d reshape reshape_as resize resize_as resolve_conj resolve_neg result_type "
    "roll rot90 row_stack scalar_tensor scatter searchsorted select select_scatter "
    "_shape_as_tensor sign signbit size slice slice_scatter sort split split_with_sizes squeeze "
    "stack swapaxes swapdims t take take_along_dim tensor_split tile to topk transpose tril "
    "tril_indices triu triu_indices type_as unbind unflatten unfold uniform _unique2 "
    "unique_consecutive unique_dim unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze "
    "values view view_as view_as_complex view_as_real vsplit vstack where zero zeros zeros_like"
).split()


def handles() -> dict[str, Handle | None]:
    """A handle for every operator with a known cost, by its full name; None is free.

    An operator that works in place, as its name with `_` says, costs what the plain one does.
    """
    table: dict[str, Handle | None] = {f"aten::{kind}": None for kind in FREE}
    table |= {f"aten::{kind}": _elementwise(kind) for kind in ELEMENTWISE}
    table |= {f"aten::{kind}": _reduction(kind) for kind in REDUCTIONS}
    table |= {kind: _macs(kind, formula) for kind, formula in FORMULAS.items()}
    table |= {
        "aten::addcmul": _addcmul,
        "aten::scaled_dot_product_attention": _scaled_dot_product_attention,
        "aten::_native_multi_head_attention": _multi_head_attention,
        "aten::_transformer_encoder_layer_fwd": _transformer_encoder_layer,
    }
    return {f"{kind}_": handle for kind, handle in table.items()} | table


def total(costs: Costs, family: str) -> int:
    """The sum of one family, `macs` or `elementwise`, over all operators."""
    return sum(int(value) for key, value in costs.items() if key.startswith(f"{family}:"))


def _numel(value: Any) -> int:
    # A tensor without dimensions carries a size that the trace computes with, not features.
    extents = shape(value)
    return prod(extents) if extents else 0


def _costs(kind: str, macs: int = 0, elementwise: int = 0) -> Costs:
    return Counter({f"macs:{kind}": macs, f"elementwise:{kind}": elementwise})


def _elementwise(kind: str) -> Handle:
    return lambda inputs, outputs: _costs(kind, elementwise=_numel(outputs[0]))


def _reduction(kind: str) -> Handle:
    return lambda inputs, outputs: _costs(kind, elementwise=_numel(inputs[0]))


def _macs(kind: str, formula: Formula) -> Handle:
    # As people call it: `convolution`, not `_convolution` or `_convolution_mode`.
    name = kind.partition("::")[2].removeprefix("_").removesuffix("_mode")
    return lambda inputs, outputs: _costs(name, macs=formula(inputs, outputs))


def _addcmul(inputs: list[Any], outputs: list[Any]) -> Costs:
    return _costs("addcmul", elementwise=2 * _numel(outputs[0]))


def _attention_costs(kind: str, queries: int, keys: int, width: int) -> Costs:
    """Scores and weighted sum for all `queries` of the batch and heads, and their softmax.

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
