"""Networks built and run for shapes alone, without weights and most of the arithmetic."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_NEED_NUMBERS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_MARK = "_bamctl_is_arbitrary"
# The last arguments of `aten::_convolution`: benchmark, deterministic, enabled and allow_tf32. None
# matters in a trace, and reading the last one raises if convolutions and RNNs differ in it.
CUDNN_FLAGS = (False, False, True, True)


def built_without_weights(make: Callable[[], nn.Module]) -> nn.Module:
    """Call a builder so that all weights are zeros expanded from one element, without memory.

    Layers allocate a weight with `torch.empty` and initialize it later; on the meta device both are
    free. Other tensors of a builder, such as stochastic depth rates, keep their values.
    """
    with _RoomOnMeta():
        model = make()
    zeros: dict[Tensor, Tensor] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight not in zeros:
                zeros[weight] = nn.Parameter(_zeros(weight), weight.requires_grad)
            module._parameters[name] = None if weight is None else zeros[weight]  # type: ignore[assignment]
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = _zeros(buffer)
    return model


def has_no_weights(model: nn.Module) -> bool:
    """Return whether a network was built by `built_without_weights`."""
    sizes = [(p.untyped_storage().nbytes(), p.element_size()) for p in model.parameters()]
    return bool(sizes) and all(size == one for size, one in sizes)


def _zeros(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=like.dtype).expand(like.shape)


# Functions that initialize weights; no-ops on the meta device.
_FILLS = frozenset(
    "normal_ uniform_ zero_ fill_ kaiming_uniform_ constant_ erfinv_ mul_ add_ clamp_".split()
)


class _RoomOnMeta(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "meta"}
        elif getattr(func, "__name__", None) in _FILLS:
            filled = args[0] if args else kwargs.get("tensor")
            if isinstance(filled, Tensor) and filled.is_meta:
                return filled
        return func(*args, **kwargs)


class NumbersNeededError(Exception):
    """Raised if a result depends on values, not on shapes alone."""


class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode in which products and convolutions return arbitrary values of the right shape.

    The mode is thread-local, and its work inside an operator is not traced, as long as it does not
    read sizes through Python properties. Other operators run normally. Results of arbitrary values
    are marked as arbitrary too; an operator whose result or shape depends on such values, by its
    tags in PyTorch, raises `NumbersNeededError`.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _aten.convolution.default:
            # The tracer skips this operator and records the one inside.
            with self, _traced_again():
                return _aten._convolution.default(*args, *CUDNN_FLAGS)
        is_arbitrary = _is_arbitrary((*args, *kwargs.values()))
        # The shape of an indexed tensor depends on the indices alone.
        is_deciding = _is_arbitrary(args[1:]) if func is _aten.index.Tensor else is_arbitrary
        if is_deciding and not _NEED_NUMBERS.isdisjoint(func.tags):
            raise NumbersNeededError(str(func))
        skip = _SKIPPED.get(func) or (_SKIPPED_LATER.get(func) if is_arbitrary else None)
        made = skip(*args, **kwargs) if skip else NotImplemented
        if made is not NotImplemented:
            is_arbitrary = True
        else:
            made = func(*args, **kwargs)
        if is_arbitrary:
            for each in _tensors(made if isinstance(made, tuple) else (made,)):
                setattr(each, _MARK, True)
        return made


def _is_arbitrary(values: Sequence[Any]) -> bool:
    return any(hasattr(each, _MARK) for each in _tensors(values))


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    """Yield the tensors among an operator's arguments or results; its lists are not nested."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (each for each in value if isinstance(each, Tensor))


def _traced_again() -> AbstractContextManager[None]:
    """Return a guard under which the tracer records operators called by a dispatch mode."""
    excluded = torch._C._dispatch_tls_local_exclude_set()
    excluded = excluded.remove("Tracer")
    included = torch._C._dispatch_tls_local_include_set()
    return torch._C._ForceDispatchKeyGuard(included, excluded)


# These functions return results of the right shape, or NotImplemented if shapes do not fit or the
# case is unknown; then PyTorch's operator runs, and raises its own error.

# Reads sizes without a record in the trace.
_size = _aten.size.default


def _product(a: Tensor, b: Tensor) -> Any:
    (*batch, rows, inner), (*other_batch, other_inner, columns) = _size(a), _size(b)
    if batch != other_batch or inner != other_inner or a.dtype != b.dtype:
        return NotImplemented
    return a.new_empty((*batch, rows, columns))


def _product_added(added: Tensor, a: Tensor, b: Tensor, **_: Any) -> Any:
    product = _product(a, b)
    if product is NotImplemented or not _broadcasts(added, product):
        return NotImplemented
    return product


def _broadcasts(a: Tensor | float, b: Tensor) -> bool:
    """Return whether the first, possibly a number, broadcasts to the shape of the second."""
    if not isinstance(a, Tensor):
        return b.is_floating_point()
    mine, other = _size(a), _size(b)
    pairs = zip(reversed(mine), reversed(other), strict=False)
    return len(mine) <= len(other) and all(x in (1, y) for x, y in pairs)


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    *_: bool,
) -> Any:
    """Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning"."""
    (batch, channels, *image), (outer, inner, *kernel) = _size(x), _size(weight)
    in_channels, out_channels = (outer, inner * groups) if transposed else (inner * groups, outer)
    if channels != in_channels or len(image) != len(kernel) or x.dtype != weight.dtype:
        return NotImplemented
    if bias is not None and _size(bias) != [out_channels]:
        return NotImplemented
    sides = []
    axes = (image, kernel, stride, padding, dilation, output_padding)
    for side, taps, step, pad, spread, extra in zip(*axes, strict=True):
        reach = spread * (taps - 1) + 1 - 2 * pad
        sides.append(
            (side - 1) * step + reach + extra if transposed else (side - reach) // step + 1
        )
    return x.new_empty((batch, out_channels, *sides)) if min(sides) > 0 else NotImplemented


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Any:
    if _size(query)[-1] != _size(key)[-1] or _size(key) != _size(value):
        return NotImplemented
    # The memory of the output has the heads side by side; the log-sum-exp has one value a query.
    out = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    return out.transpose(1, 2), torch.empty_like(query.select(-1, 0))


def _multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, embed_dim: int, *args: Any, **kwargs: Any
) -> Any:
    # Heads and weights come next; then mask and need_weights.
    need_weights = args[6] if len(args) > 6 else kwargs.get("need_weights", True)
    shape = _size(query)
    if need_weights or not shape == _size(key) == _size(value) or shape[-1] != embed_dim:
        return NotImplemented
    return torch.empty_like(query), None


# Operators with nearly all of a network's arithmetic.
_SKIPPED: dict[Any, Callable[..., Any]] = {
    _aten.mm.default: _product,
    _aten.bmm.default: _product,
    _aten.addmm.default: _product_added,
    _aten.baddbmm.default: _product_added,
    _aten._convolution.default: _convolution,
    _aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
    _aten._native_multi_head_attention.default: _multi_head_attention,
}


def _same(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.empty_like(x)


def _batch_norm(x: Tensor, *given: Any, **_: Any) -> Any:
    if any(_size(each) != [_size(x)[1]] for each in given[:4] if each is not None):
        return NotImplemented
    # The statistics come second and third; networks do not read them.
    return torch.empty_like(x), torch.empty(0), torch.empty(0)


def _layer_norm(x: Tensor, shape: Sequence[int], *_: Any) -> Any:
    if _size(x)[-len(shape) :] != list(shape):
        return NotImplemented
    return torch.empty_like(x), torch.empty(0), torch.empty(0)


def _with(x: Tensor, other: Tensor | float, **_: Any) -> Any:
    if not isinstance(other, Tensor):
        return torch.empty_like(x) if _broadcasts(other, x) else NotImplemented
    # Strides of the result depend on both; handled if they are equal or both are contiguous.
    is_plain = x.is_contiguous() and other.is_contiguous()
    if x.dtype != other.dtype or not (is_plain or x.stride() == other.stride()):
        return NotImplemented
    if _broadcasts(other, x):
        return torch.empty_like(x)
    return torch.empty_like(other) if _broadcasts(x, other) else NotImplemented


def _in_place(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _in_place_with(x: Tensor, other: Tensor | float, **_: Any) -> Any:
    return x if _broadcasts(other, x) else NotImplemented


# Operators that keep the shape of an argument are skipped too if it is arbitrary.
_SKIPPED_LATER: dict[Any, Callable[..., Any]] = {
    **{
        getattr(_aten, name).default: _same
        for name in "gelu hardsigmoid hardswish hardtanh relu sigmoid silu tanh".split()
    },
    **{
        getattr(_aten, f"{name}_").default: _in_place
        for name in "hardsigmoid hardswish hardtanh relu sigmoid silu tanh".split()
    },
    _aten._softmax.default: _same,
    _aten.add.Tensor: _with,
    _aten.mul.Tensor: _with,
    _aten.add_.Tensor: _in_place_with,
    _aten.mul_.Tensor: _in_place_with,
    _aten.native_batch_norm.default: _batch_norm,
    _aten.native_layer_norm.default: _layer_norm,
}
