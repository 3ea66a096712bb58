"""Networks built and run for their shapes alone, without weights and most of the arithmetic."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten
_NEED_NUMBERS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_MARK = "_bamctl_is_arbitrary"


def built_without_weights(make: Callable[[], nn.Module]) -> nn.Module:
    """What a builder makes, with zeros for weights that take no memory: one number for each.

    Layers make room for a weight and fill it later; room on the meta device is none, and filling it
    no work. Whatever else a builder computes with, such as a plan of its blocks, has its values.
    """
    with _RoomOnMeta():
        model = make()
    found: dict[Tensor, Tensor] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight not in found:
                found[weight] = nn.Parameter(_zeros(weight), weight.requires_grad)
            module._parameters[name] = None if weight is None else found[weight]  # type: ignore[assignment]
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = _zeros(buffer)
    return model


def has_no_weights(model: nn.Module) -> bool:
    """Whether a network was built so."""
    sizes = [(p.untyped_storage().nbytes(), p.element_size()) for p in model.parameters()]
    return bool(sizes) and all(size == one for size, one in sizes)


def _zeros(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=like.dtype).expand(like.shape)


class _RoomOnMeta(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


class NumbersNeededError(Exception):
    """What comes next depends on a number, not on shapes alone."""


class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Products and convolutions give results of the right shape with arbitrary numbers, here only.

    A dispatch mode belongs to its thread, and what it does inside an operator is in no trace, as
    long as it asks no tensor for its size in Python; so nothing here does. Everything else runs as
    ever. What follows from arbitrary numbers is arbitrary, too, and an operator whose answer or
    shape would depend on them, as PyTorch tells of each, is refused with `NumbersNeededError`.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        is_arbitrary = any(hasattr(each, _MARK) for each in given)
        if is_arbitrary and not _NEED_NUMBERS.isdisjoint(func.tags):
            raise NumbersNeededError(str(func))
        if func is _aten.convolution.default:
            # A trace leaves this one out, and names the one inside.
            with self, _traced_again():
                return _aten._convolution.default(*args, *_cudnn_settings())
        skip = _SKIPPED.get(func) or (_SKIPPED_LATER.get(func) if is_arbitrary else None)
        made = skip(*args, **kwargs) if skip else NotImplemented
        if made is not NotImplemented:
            is_arbitrary = True
        else:
            made = func(*args, **kwargs)
        if is_arbitrary:
            for each in tree_leaves(made):
                if isinstance(each, Tensor):
                    setattr(each, _MARK, True)
        return made


def _broadcast(a: Tensor, b: Tensor) -> Tensor:
    """As large as both together; memory that nobody writes to takes none."""
    whole, _ = torch.broadcast_tensors(a, b)  # type: ignore[no-untyped-call]
    return torch.empty_like(whole, memory_format=torch.contiguous_format)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A column of the left matrix by a row of the right one."""
    return _broadcast(torch.narrow(a, -1, 0, 1), torch.narrow(b, -2, 0, 1))


def _product_added(added: Tensor, a: Tensor, b: Tensor, **_: Any) -> Tensor:
    return _product(a, b)


def _traced_again() -> AbstractContextManager[None]:
    """Lets the tracer see what runs inside of an operator that a mode was asked for."""
    excluded = torch._C._dispatch_tls_local_exclude_set()
    excluded = excluded.remove("Tracer")
    included = torch._C._dispatch_tls_local_include_set()
    return torch._C._ForceDispatchKeyGuard(included, excluded)


def _cudnn_settings() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return cudnn.benchmark, cudnn.deterministic, cudnn.enabled, cudnn.allow_tf32


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
) -> Tensor:
    """One channel convolved into one, and as many of it as the weight makes."""
    # For a transposed one, the axes of the weight are the other way around.
    inner, outer = (0, 1) if transposed else (1, 0)
    one = torch.narrow(torch.narrow(weight, inner, 0, 1), outer, 0, 1)
    settings = (stride, padding, dilation, transposed, output_padding, 1)
    pixels: Tensor = _aten.convolution.default(torch.narrow(x, 1, 0, 1), one, None, *settings)
    channels = torch.narrow(weight, inner, 0, 1).transpose(0, 1) if not transposed else weight
    channels = torch.narrow(channels, 0, 0, 1)
    for axis in range(2, weight.dim()):
        channels = torch.narrow(channels, axis, 0, 1)
    return _broadcast(pixels, torch.cat([channels] * groups, 1) if transposed else channels)


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Any:
    # The output lies in memory as the heads beside each other; the second is one for each query.
    out = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    return out.transpose(1, 2), torch.empty_like(query.select(-1, 0))


def _multi_head_attention(query: Tensor, *args: Any, **kwargs: Any) -> Any:
    # Heads, embedding and weights come first; then mask, and whether the scores are wanted.
    need_weights = args[9] if len(args) > 9 else kwargs.get("need_weights", True)
    if need_weights:
        return NotImplemented
    return torch.empty_like(query), None


# Nearly all of a network's arithmetic. A function that gives NotImplemented leaves it to PyTorch.
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


def _normalized(x: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor, Tensor]:
    # Statistics come second and third; a network sees neither.
    return torch.empty_like(x), torch.empty(0), torch.empty(0)


def _in_place(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


# What keeps the shape of its argument need not be computed either, once that is arbitrary.
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
    _aten.add_.Tensor: _in_place,
    _aten.mul_.Tensor: _in_place,
    _aten.native_batch_norm.default: _normalized,
    _aten.native_layer_norm.default: _normalized,
}
