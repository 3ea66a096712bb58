"""The table of PyTorch's operators: the cost of each, and its effect on its input tensors.

Everything that depends on an operator's name is defined here, once. An in-place operator, such as
`relu_`, has the properties of the plain one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Cost = Literal["macs", "elementwise", "reduction", "free"]
View = Literal["", "alias", "reordered", "packed"]


@dataclass(frozen=True)
class OperatorKind:
    """Properties of an operator.

    Attributes:
        cost: how it is counted: `macs` by a formula for the operator, `elementwise` as one
            operation for each output element, `reduction` as one for each input element, or `free`,
            since it copies, compares, draws or works on shapes. None if uncounted.
        axes: the rule for the axes of the output, a key of `_axis_rules.RULES`.
        view: `alias` if the output shares the input's memory, `reordered` if its axes are permuted
            too, `packed` if it is a copy whenever the memory has another order; also for operators
            that eval mode skips.
        channelwise: treats all channels alike and independently; the output has the same channels.
        on_maps: takes a feature map with its extents last.
        layer: usually has weights, or stands for a layer with weights.
        attends: weights positions of its last operand by its first one.
        convolves: is a convolution.
        windows: pools windows of a map.
        pools: can pool a whole map.
        pads: pads a map.
        sums: adds its operands, element by element.
        scales: multiplies its operands, element by element.
        copies: returns the same elements, with permuted axes or in other memory.
        shape_only: reads the shape of its input and none of its elements.
    """

    cost: Cost | None = None
    axes: str = "kept"
    view: View = ""
    channelwise: bool = False
    on_maps: bool = False
    layer: bool = False
    attends: bool = False
    convolves: bool = False
    windows: bool = False
    pools: bool = False
    pads: bool = False
    sums: bool = False
    scales: bool = False
    copies: bool = False
    shape_only: bool = False


def of(name: str) -> OperatorKind:
    """Return the properties of an operator by its full name; those of an unknown one are empty.

    >>> of("aten::relu_").channelwise, of("mylib::relu").cost
    (True, None)
    """
    return OPERATORS.get(name) or OPERATORS.get(name.removesuffix("_"), _UNKNOWN)


_UNKNOWN = OperatorKind()
_Row = tuple[str, OperatorKind]


def _row(names: str, cost: Cost | None, **properties: Any) -> list[_Row]:
    """Return rows for operators with equal properties, of `aten` unless named `library::name`."""
    kind = OperatorKind(cost, **properties)
    return [(name if "::" in name else f"aten::{name}", kind) for name in names.split()]


def _table(rows: Iterable[list[_Row]]) -> dict[str, OperatorKind]:
    table: dict[str, OperatorKind] = {}
    for row in rows:
        for name, kind in row:
            assert name not in table, f"{name} is in two rows"
            table[name] = kind
    return table


_ROWS = (
    _row(
        "addbmm addmv bilinear chain_matmul conv_tbc convolution dot gru inner linalg_multi_dot "
        "linalg_vecdot lstm mv rnn_relu rnn_tanh tensordot torchvision::deform_conv2d vdot",
        "macs",
    ),
    _row("_native_multi_head_attention _transformer_encoder_layer_fwd", "macs", layer=True),
    _row("scaled_dot_product_attention", "macs", axes="attended", attends=True),
    _row(
        "_convolution _convolution_mode",
        "macs",
        axes="convolved",
        convolves=True,
        layer=True,
        on_maps=True,
    ),
    _row("addmm linear", "macs", axes="linear", layer=True),
    _row("mm", "macs", axes="multiplied"),
    _row("baddbmm", "macs", axes="multiplied", attends=True),
    _row("bmm matmul", "macs", axes="multiplied", attends=True, layer=True),
    _row("einsum", "macs", axes="unknown", layer=True),
    _row("conv2d conv3d", None, axes="convolved", layer=True, on_maps=True),
    _row("conv_transpose2d", None, axes="convolved", on_maps=True),
    _row("_reshape_alias _unsafe_view", None, axes="reshaped"),
    _row("torchvision::roi_align", None),
    _row(
        "adaptive_avg_pool1d adaptive_max_pool1d aminmax avg_pool1d cosine_similarity cummax "
        "cummin cumprod cumsum dist fractional_max_pool2d fractional_max_pool3d frobenius_norm "
        "huber_loss kl_div l1_loss linalg_matrix_norm linalg_norm logcumsumexp max_pool1d "
        "max_pool1d_with_indices mse_loss nanmean nansum nuclear_norm pairwise_distance "
        "smooth_l1_loss std_mean trace var_mean",
        "reduction",
    ),
    _row("avg_pool2d max_pool2d", "reduction", channelwise=True, on_maps=True, windows=True),
    _row(
        "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d",
        "reduction",
        on_maps=True,
        pools=True,
    ),
    _row(
        "avg_pool3d max_pool2d_with_indices max_pool3d max_pool3d_with_indices",
        "reduction",
        on_maps=True,
        windows=True,
    ),
    _row("col2im", "reduction", axes="folded"),
    _row(
        "amin linalg_vector_norm logsumexp max min norm prod std var", "reduction", axes="reduced"
    ),
    _row("amax mean sum", "reduction", axes="reduced", pools=True),
    _row(
        "abs absolute acos acosh addcdiv addcmul addr angle arccos arccosh arcsin arcsinh "
        "arctan arctan2 arctanh asin asinh atan atan2 atanh bernoulli binary_cross_entropy "
        "binary_cross_entropy_with_logits ceil celu clamp clamp_max clamp_min clip copysign cos "
        "cosh cross deg2rad digamma div divide erf erfc erfinv exp exp2 expm1 fix float_power "
        "floor fmax fmin fmod frac ger glu grid_sampler grid_sampler_2d grid_sampler_3d "
        "group_norm hardshrink heaviside hypot index_add index_reduce instance_norm kron "
        "layer_norm ldexp lerp lgamma log log10 log1p log2 log_sigmoid log_softmax logaddexp "
        "logaddexp2 logit maximum minimum native_batch_norm native_group_norm "
        "native_layer_norm neg negative outer polar pow prelu rad2deg reciprocal rms_norm round "
        "rrelu rsqrt rsub scatter_add scatter_reduce selu sgn sin sinc sinh softmax softplus "
        "softshrink sqrt square sub subtract tan threshold true_divide trunc "
        "_upsample_bicubic2d_aa _upsample_bilinear2d_aa upsample_linear1d upsample_nearest1d "
        "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d xlogy",
        "elementwise",
    ),
    _row("add", "elementwise", sums=True),
    _row("mul multiply", "elementwise", scales=True),
    _row(
        "batch_norm elu gelu hardsigmoid hardswish hardtanh leaky_relu mish relu relu6 sigmoid "
        "silu tanh",
        "elementwise",
        channelwise=True,
    ),
    _row(
        "upsample_bicubic2d upsample_bilinear2d upsample_nearest2d upsample_nearest3d "
        "upsample_trilinear3d",
        "elementwise",
        on_maps=True,
    ),
    _row(
        "adjoint all alpha_dropout __and__ any arange argmax argmin argwhere atleast_1d atleast_2d "
        "atleast_3d bincount bitwise_and bitwise_left_shift bitwise_not bitwise_or "
        "bitwise_right_shift bitwise_xor block_diag broadcast_tensors broadcast_to bucketize "
        "cartesian_prod column_stack complex conj conj_physical copy count_nonzero cpu cuda "
        "data diag diag_embed diagflat diagonal diagonal_scatter dim dsplit dstack embedding "
        "empty empty_permuted empty_strided eq equal eye feature_alpha_dropout fill flip fliplr "
        "flipud floor_divide full ge greater greater_equal gt hsplit hstack imag index_copy "
        "index_fill is_complex is_floating_point is_nonzero is_same_size isclose isfinite isin "
        "isinf isnan isneginf isposinf isreal item kthvalue le less less_equal lift lift_fresh "
        "lift_fresh_copy linspace logical_and logical_not logical_or logical_xor logspace lt "
        "masked_fill masked_scatter matrix_H max_unpool2d max_unpool3d median meshgrid mH mode "
        "moveaxis msort multinomial narrow native_channel_shuffle native_dropout ne "
        "new_empty_strided nonzero nonzero_numpy nonzero_static normal not_equal numel one_hot "
        "ones pad_sequence pin_memory positive rand rand_like randint randint_like randn "
        "randn_like random randperm ravel real reflection_pad1d remainder repeat "
        "repeat_interleave replication_pad1d resize resize_as resolve_conj resolve_neg "
        "result_type roll rot90 row_stack scalar_tensor searchsorted select_scatter "
        "_shape_as_tensor sign signbit size slice_scatter tile tril tril_indices triu "
        "triu_indices type_as unfold uniform _unique2 unique_consecutive unique_dim "
        "unsafe_split_with_sizes values view_as_complex view_as_real vsplit vstack where zero "
        "zeros",
        "free",
    ),
    _row("clone", "free", channelwise=True, copies=True),
    _row("to", "free", copies=True),
    _row("channel_shuffle pixel_shuffle pixel_unshuffle", "free", on_maps=True),
    _row(
        "constant_pad_nd pad reflection_pad2d reflection_pad3d replication_pad2d replication_pad3d",
        "free",
        pads=True,
    ),
    _row(
        "empty_like full_like new_empty new_full new_ones new_zeros ones_like zeros_like",
        "free",
        shape_only=True,
    ),
    _row("alias as_strided expand expand_as slice", "free", view="alias"),
    _row("dropout feature_dropout", "free", view="alias", channelwise=True),
    _row("detach", "free", view="alias", copies=True),
    _row("contiguous", "free", view="packed", channelwise=True, copies=True),
    _row("cat concat concatenate", "free", axes="joined"),
    _row("movedim", "free", axes="moved", view="reordered"),
    _row("permute", "free", axes="permuted", view="reordered", copies=True),
    _row(
        "argsort gather index index_put index_select masked_select scatter sort take "
        "take_along_dim topk",
        "free",
        axes="picked",
    ),
    _row("reshape_as squeeze unflatten unsqueeze view_as", "free", axes="reshaped", view="alias"),
    _row("view", "free", axes="reshaped", view="alias", copies=True),
    _row("flatten", "free", axes="reshaped", view="packed"),
    _row("reshape", "free", axes="reshaped", view="packed", copies=True),
    _row("select", "free", axes="selected", view="alias"),
    _row(
        "chunk split split_with_sizes tensor_split unbind unsafe_chunk unsafe_split",
        "free",
        axes="split",
        view="alias",
    ),
    _row("stack", "free", axes="stacked"),
    _row("mT numpy_T swapaxes swapdims t", "free", axes="transposed", view="reordered"),
    _row("transpose", "free", axes="transposed", view="reordered", copies=True),
    _row("im2col", "free", axes="unfolded", on_maps=True),
)
OPERATORS = _table(_ROWS)
