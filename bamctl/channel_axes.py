"""Which axis of each traced value holds the channels, judged by the operators that touch it.

A convolution works on axis 1, a linear layer or a layer norm on the last axis, a permutation says
where an axis went, and most operators keep it. A reshape breaks the chain; there the operators
that come after tell what it made.
"""

from bamctl.tracing import Operator, Trace

_ON_AXIS_1 = frozenset(
    f"aten::{kind}"
    for kind in (
        "_convolution batch_norm instance_norm group_norm max_pool2d avg_pool2d max_pool3d "
        "avg_pool3d adaptive_avg_pool2d adaptive_max_pool2d adaptive_avg_pool3d "
        "adaptive_max_pool3d prelu pixel_shuffle pixel_unshuffle channel_shuffle "
        "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d upsample_nearest3d "
        "upsample_trilinear3d"
    ).split()
)
_ON_LAST_AXIS = frozenset(
    f"aten::{kind}"
    for kind in ("linear addmm _native_multi_head_attention _transformer_encoder_layer_fwd").split()
)
_RESHAPING = frozenset(
    f"aten::{kind}"
    for kind in (
        "view reshape flatten unflatten select unsqueeze squeeze matmul einsum bmm"
    ).split()
)


def channel_axes(trace: Trace) -> dict[int, int]:
    """The channel axis of every value whose operators tell it, numbered as in the trace."""
    axes: dict[int, int] = {}
    for operator in trace.operators:
        axes |= _of_outputs(trace, operator, axes)
    for operator in reversed(trace.operators):
        for value, axis in _of_inputs(trace, operator, axes).items():
            axes.setdefault(value, axis)
    return axes


def _of_outputs(trace: Trace, operator: Operator, axes: dict[int, int]) -> dict[int, int]:
    axis = _required_axis(trace, operator, operator.outputs[0])
    if axis is None:
        known = (axes[value] for value in operator.inputs if value in axes)
        axis = next(known, None)
        if axis is not None:
            axis = _moved(trace, operator, axis)
    return {} if axis is None else dict.fromkeys(operator.outputs, axis)


def _of_inputs(trace: Trace, operator: Operator, axes: dict[int, int]) -> dict[int, int]:
    axis = _required_axis(trace, operator, operator.inputs[0])
    if axis is not None:
        return {operator.inputs[0]: axis}
    known = [axes[value] for value in operator.outputs if value in axes]
    rank = len(trace.shapes.get(operator.inputs[0], ()))
    if not known or not rank:
        return dict.fromkeys(operator.inputs, known[0]) if known else {}
    origins = [axis for axis in range(rank) if _moved(trace, operator, axis) == known[0]]
    alike = (value for value in operator.inputs if len(trace.shapes.get(value, ())) == rank)
    return dict.fromkeys(alike, origins[0]) if len(origins) == 1 else {}


def _required_axis(trace: Trace, operator: Operator, value: int) -> int | None:
    """The axis that an operator can only take for the channels."""
    rank = len(trace.shapes.get(value, ()))
    if operator.kind in _ON_AXIS_1:
        return 1
    if operator.kind in _ON_LAST_AXIS:
        return rank - 1
    if operator.kind == "aten::layer_norm" and len(_tuples(operator)[0]) == 1:
        return rank - 1
    return None


def _moved(trace: Trace, operator: Operator, axis: int) -> int | None:
    """Where an axis of the first input stands in the output, if it can be told."""
    before = trace.shapes.get(operator.inputs[0], ())
    after = trace.shapes.get(operator.outputs[0], ())
    if operator.kind == "aten::permute":
        order = [dim % len(before) for dim in _tuples(operator)[0]]
        return order.index(axis)
    if operator.kind == "aten::transpose":
        one, other = (dim % len(before) for dim in operator.ints if isinstance(dim, int))
        return {one: other, other: one}.get(axis, axis)
    if operator.kind in _RESHAPING and before != after:
        return None
    # A list of tensors, as `chunk` makes it, has no shape of its own.
    return axis if not before or not after or len(before) == len(after) else None


def _tuples(operator: Operator) -> list[tuple[int, ...]]:
    return [ints for ints in operator.ints if isinstance(ints, tuple)]
