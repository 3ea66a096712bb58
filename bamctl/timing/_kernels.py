"""Kernels that a traced network launches on a device: MACs and memory traffic of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from bamctl.tracing.operators import of
from bamctl.tracing.trace import Operator, Shape, Trace

Kind = Literal["matmul", "spatial", "grouped", "depthwise", "attention", "memory"]
Precision = Literal["fp32", "amp_fp16", "amp_bf16", "fp16", "bf16"]

# Autocast runs these in fp32, products in half precision, and others in that of their inputs.
# https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference
_IN_SINGLE = frozenset(
    "cumprod cumsum exp group_norm layer_norm log log2 log_softmax norm pow prod reciprocal rsqrt "
    "softmax softplus sum".split()
)
# Operators that promote their result to fp32 if one of their inputs is an fp32 parameter.
_PROMOTING = frozenset("add addcmul cat div maximum minimum mul sub where".split())

_SINGLE, _HALF = 4, 2


@dataclass(frozen=True)
class Kernel:
    """One kernel launch, for one image.

    `macs` and `activation_bytes` (read and written) scale with the batch; `weight_bytes` do not.
    `channels_in` and `channels_out` are those of one group, and `taps` is the number of positions
    of a convolution's kernel.
    """

    kind: Kind
    operator: str
    macs: int = 0
    activation_bytes: int = 0
    weight_bytes: int = 0
    channels_in: int = 1
    channels_out: int = 1
    taps: int = 1

    def times(self, count: int) -> "Kernel":
        """Return the kernel for `count` images at once."""
        return replace(self, macs=count * self.macs, activation_bytes=count * self.activation_bytes)


@dataclass(frozen=True)
class Lowered:
    """The kernels of a network in order, and the bytes per element of each value of its trace."""

    kernels: tuple[Kernel, ...]
    widths: dict[int, int]


def lower(trace: Trace, precision: Precision, *, input_width: int | None = None) -> Lowered:
    """List the kernels that eager PyTorch launches for a traced network.

    One for each operator that computes or copies, without any fusion; a convolution adds its bias
    by a separate kernel. With automatic mixed precision, the casts of activations and of weights
    are kernels, too.

    Args:
        trace: the trace of a batch of one.
        precision: that of the network, or of autocast, which keeps the weights in fp32.
        input_width: bytes per element of the input; that of the precision if left out.
    """
    lowering = _Lowering(trace, precision, input_width)
    for operator in trace.operators:
        lowering.add(operator)
    return Lowered(tuple(lowering.kernels), lowering.widths)


class _Lowering:
    def __init__(self, trace: Trace, precision: Precision, input_width: int | None) -> None:
        self.kernels: list[Kernel] = []
        self._trace = trace
        self._is_autocast = precision.startswith("amp")
        self._compute = _SINGLE if precision == "fp32" else _HALF
        width = input_width or (_SINGLE if self._is_autocast else self._compute)
        # Values that do not depend on the input, such as position tables, are computed once.
        self.widths = dict.fromkeys(trace.inputs, width)
        self._reordered: set[int] = set()

    def add(self, operator: Operator) -> None:
        kind = operator.kind.split("::")[-1]
        live = [value for value in dict.fromkeys(operator.inputs) if value in self.widths]
        if not live:
            return
        shape = self._trace.shapes.get(operator.outputs[0])
        if not shape or operator.kind.startswith("prim::") or self._is_view(operator, live, shape):
            self._pass_on(operator, live)
            return
        if self._is_autocast:
            self._cast(kind, live)
        self.widths |= dict.fromkeys(operator.outputs, self._width(kind, operator, live))
        call = _Call(
            kind,
            operator.ints,
            given=[self._trace.shapes[value] for value in live if value in self._trace.shapes],
            weights=[self._trace.weights[v] for v in operator.inputs if v in self._trace.weights],
            result=shape,
            width=self._compute,
        )
        if make := _PRODUCTS.get(kind):
            if self._is_autocast:
                self.kernels += map(_weight_cast, call.matrices)
            self.kernels += make(call)
        else:
            self.kernels.append(Kernel("memory", kind, activation_bytes=self._traffic(operator)))

    def _is_view(self, operator: Operator, live: list[int], shape: Shape) -> bool:
        view = of(operator.kind).view
        if view == "packed" and live[0] in self._reordered:
            return False
        is_empty_pad = operator.kind == "aten::pad" and self._trace.shapes.get(live[0]) == shape
        return bool(view) or is_empty_pad

    def _pass_on(self, operator: Operator, live: list[int]) -> None:
        widest = max(self.widths[value] for value in live)
        self.widths |= dict.fromkeys(operator.outputs, widest)
        if of(operator.kind).view == "reordered" or self._reordered.intersection(live):
            self._reordered.update(operator.outputs)

    def _width(self, kind: str, operator: Operator, live: list[int]) -> int:
        """Return the bytes per element of the result."""
        widest = max(self.widths[value] for value in live)
        if not self._is_autocast:
            return widest
        if kind in _PRODUCTS:
            return self._compute
        if kind in _IN_SINGLE:
            return _SINGLE
        if kind.endswith("_"):
            return self.widths[live[0]]
        with_parameter = any(self._trace.weights.get(value) for value in operator.inputs)
        return _SINGLE if kind in _PROMOTING and with_parameter else widest

    def _cast(self, kind: str, live: list[int]) -> None:
        """Add the casts of activations that autocast runs before an operator on its lists."""
        if kind not in _PRODUCTS and kind not in _IN_SINGLE:
            return
        width = self._compute if kind in _PRODUCTS else _SINGLE
        for value in live:
            if self.widths[value] != width and (shape := self._trace.shapes.get(value)):
                traffic = (self.widths[value] + width) * prod(shape)
                self.kernels.append(Kernel("memory", "cast", activation_bytes=traffic))

    def _traffic(self, operator: Operator) -> int:
        """Return the bytes that an operator reads and writes, once its inputs are cast."""
        width = self.widths[operator.outputs[0]]
        is_cast = self._is_autocast and operator.kind.split("::")[-1] in _IN_SINGLE
        values = [v for v in dict.fromkeys(operator.inputs) if v in self.widths]
        read = (
            (width if is_cast else self.widths[value]) * prod(self._trace.shapes.get(value, (0,)))
            for value in values
        )
        return sum(read) + width * prod(self._trace.shapes[operator.outputs[0]])


@dataclass(frozen=True)
class _Call:
    """A call of an operator that computes products: shapes, constants, and bytes per element."""

    kind: str
    ints: tuple[int | tuple[int, ...], ...]
    given: list[Shape]
    weights: list[Shape]
    result: Shape
    width: int

    @property
    def matrices(self) -> list[Shape]:
        """The shapes of the weight matrices; the others are biases."""
        return [shape for shape in self.weights if len(shape) > 1]


def _weight_cast(shape: Shape) -> Kernel:
    return Kernel("memory", "cast", weight_bytes=(_SINGLE + _HALF) * prod(shape))


def _convolution(call: _Call) -> Iterator[Kernel]:
    weights = call.weights[0] if call.weights else call.given[-1]
    groups = call.ints[-1]
    assert isinstance(groups, int)
    taps, channels_in = prod(weights[2:]), call.given[0][1] // groups
    # A transposed convolution multiplies each input element by each weight of its channel.
    is_transposed = weights[0] != call.result[1]
    positions = prod(call.given[0] if is_transposed else call.result)
    kind: Kind = "matmul" if taps == 1 else "spatial"
    if groups > 1:
        kind = "depthwise" if channels_in == 1 else "grouped"
    yield Kernel(
        kind,
        "convolution",
        macs=positions * prod(weights[1:]),
        activation_bytes=call.width * (prod(call.given[0]) + prod(call.result)),
        weight_bytes=call.width * prod(weights),
        channels_in=channels_in,
        channels_out=call.result[1] // groups,
        taps=taps,
    )
    if any(len(shape) == 1 for shape in call.weights):
        yield Kernel("memory", "bias", activation_bytes=2 * call.width * prod(call.result))


def _matrix_product(call: _Call) -> Iterator[Kernel]:
    first = call.given[0]
    yield Kernel(
        "matmul" if call.matrices else "attention",
        call.kind,
        macs=prod(first) * call.result[-1],
        activation_bytes=call.width * (sum(map(prod, call.given)) + prod(call.result)),
        weight_bytes=call.width * sum(map(prod, call.matrices)),
        channels_in=first[-1],
        channels_out=call.result[-1],
    )


def _attention(call: _Call) -> Iterator[Kernel]:
    """Yield the kernel of attention: scores of all queries and keys, and the sum of the values."""
    queries, keys = call.given[0], call.given[min(1, len(call.given) - 1)]
    yield Kernel(
        "attention",
        call.kind,
        macs=prod(queries) * keys[-2] + prod(queries[:-1]) * keys[-2] * call.result[-1],
        activation_bytes=call.width * (sum(map(prod, call.given)) + prod(call.result)),
        channels_in=queries[-1],
        channels_out=keys[-2],
    )


def _fused_layer(call: _Call) -> Iterator[Kernel]:
    """Yield the kernels of a fused transformer layer: its products, and its attention."""
    batch, length, width = call.given[0]
    for matrix in call.matrices:
        rows, columns = matrix
        yield from _matrix_product(
            replace(
                call,
                kind="linear",
                given=[(batch, length, columns)],
                weights=[matrix],
                result=(batch, length, rows),
            )
        )
    heads = next(n for n in call.ints[1:] if isinstance(n, int))
    each = (batch * heads, length, width // heads)
    yield from _attention(
        replace(
            call, kind="scaled_dot_product_attention", given=[each] * 3, weights=[], result=each
        )
    )


# Operators that compute matrix products, which autocast runs in half precision.
_PRODUCTS: dict[str, Callable[[_Call], Iterator[Kernel]]] = {
    **dict.fromkeys("addmm baddbmm bmm einsum linear matmul mm".split(), _matrix_product),
    "_convolution": _convolution,
    "scaled_dot_product_attention": _attention,
    "_native_multi_head_attention": _fused_layer,
    "_transformer_encoder_layer_fwd": _fused_layer,
}
