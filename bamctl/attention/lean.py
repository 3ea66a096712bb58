"""The large steps of BAM, which keep for the backward pass no more than the results are made of.

Plain operators would keep a gate as large as the map, write several such maps on the way, and copy
the map once more for a convolution of 1x1. What is here computes the same, keeps the small tensors
that the large ones follow from, and works in place where no one looks. A compiler, a tracer or a
transform that looks on sees the plain operators.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.fx
from torch import Tensor
from torch.autograd import forward_ad

COMBINE: dict[str, Callable[..., Tensor]] = {
    "sum": torch.add,
    "product": torch.mul,
    "max": torch.maximum,
}

# What a CPU works on at a time, so that all it touches stays in its cache.
_BLOCK_BYTES = 2**22


@torch.fx.wrap
def pooled(maps: Tensor) -> Tensor:
    """The average of each channel, from shape (N, C, ...) to (N, C)."""
    average: Tensor = _mean(maps) if _is_watched() else _Pooled.apply(maps)
    return average


@torch.fx.wrap
def projected(maps: Tensor, conv: Any) -> Tensor:
    """What a convolution of 1x1 gives, from shape (N, C, ...) to (N, conv.out_channels, ...).

    A convolution of PyTorch for the CPU first copies the map to an order of its own; a product of
    matrices takes it as it is.
    """
    if _is_watched() or not _is_best_as_matrices(maps, conv):
        by_conv: Tensor = conv._conv_forward(maps, conv.weight, conv.bias)
        return by_conv
    num_images, pixels = len(maps), maps.shape[2:]
    weight = conv.weight.flatten(1).expand(num_images, -1, -1)
    bias = conv.bias[:, None].expand(num_images, -1, pixels.numel())
    return torch.unflatten(torch.baddbmm(bias, weight, maps.flatten(2)), 2, pixels)


@torch.fx.wrap
def gated(maps: Tensor, parts: Sequence[Tensor], scale: Tensor | None, combine: str) -> Tensor:
    """`maps + maps * scale * sigmoid(combine(*parts))`.

    Args:
        maps: with shape (N, C, H, W), or (N, C, T, H, W).
        parts: one that broadcasts to the map, or two that are as large as the map together.
        scale: a scalar, or None for 1.
        combine: `sum`, `product` or `max`.
    """
    function = _gated if _is_watched() else _Gated.apply
    refined: Tensor = function(maps, scale, combine, *parts)
    return refined


def _is_best_as_matrices(maps: Tensor, conv: Any) -> bool:
    is_whole = maps.dtype == conv.weight.dtype == torch.float32
    on_cpu = maps.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return is_whole and on_cpu and maps.is_contiguous()


def _is_watched() -> bool:
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def _mean(maps: Tensor) -> Tensor:
    return maps.mean(tuple(range(2, maps.dim())))


def _gated(maps: Tensor, scale: Tensor | None, combine: str, *parts: Tensor) -> Tensor:
    gate = torch.sigmoid(COMBINE[combine](*parts) if len(parts) == 2 else parts[0])
    return torch.addcmul(maps, maps, gate if scale is None else gate * scale)


class _Pooled(torch.autograd.Function):
    """The average, whose gradient, the same for all pixels of a channel, is never written out."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape = maps.shape
        return _mean(maps)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        pixels = ctx.shape[2:]
        share: Tensor = grad / pixels.numel()
        return share.reshape(*grad.shape, *(1 for _ in pixels)).expand(ctx.shape)


class _Gated(torch.autograd.Function):
    """The gate, made from its parts again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, scale: Tensor | None, combine: str, *parts: Tensor
    ) -> Tensor:
        ctx.save_for_backward(maps, scale, *parts)
        ctx.combine = combine
        result = torch.empty_like(maps)
        for x, y, *own_parts in _blocks(maps, result, *parts):
            gate = _gate(own_parts, combine, out=y)
            torch.addcmul(x, x, gate if scale is None else gate.mul_(scale), out=y)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, grad)
        maps, scale, *parts = ctx.saved_tensors
        grad_scale: Any = None if scale is None else torch.zeros_like(scale)
        grad_maps, *grad_parts = (torch.empty_like(each) for each in (maps, *parts))
        for x, dy, dx, *rest in _blocks(maps, grad, grad_maps, *grad_parts, *parts):
            own_grads, own_parts = rest[: len(parts)], rest[len(parts) :]
            gate = _gate(own_parts, ctx.combine, out=torch.empty_like(x))
            of_gate = dy * x
            of_combined = torch.ops.aten.sigmoid_backward(of_gate, gate.expand_as(x))
            if scale is not None:
                grad_scale += of_gate.mul_(gate).sum()
                of_combined.mul_(scale)
                gate.mul_(scale)
            torch.addcmul(dy, dy, gate, out=dx)
            of_parts = _gradients(of_combined, ctx.combine, own_parts)
            for own, full in zip(own_grads, of_parts, strict=True):
                own.copy_(full.sum_to_size(own.shape))
        return grad_maps, grad_scale, None, *grad_parts


def _gate(parts: Sequence[Tensor], combine: str, out: Tensor) -> Tensor:
    """The sigmoid of the combined parts; that of two in the memory of `out`, which is as large."""
    if len(parts) == 1:
        return torch.sigmoid(parts[0].to(out.dtype))
    return COMBINE[combine](*parts, out=out).sigmoid_()


def _of_maximum(grad: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Where both are as large, each gets half, as PyTorch has it."""
    share = torch.heaviside(a - b, torch.full((), 0.5, dtype=a.dtype, device=a.device))
    return grad * share, grad * (1 - share)


def _gradients(grad: Tensor, combine: str, parts: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Those of the parts, before the sum over the axes along which they are broadcast."""
    return _GRADIENTS[combine](grad, *parts) if len(parts) == 2 else (grad,)


_GRADIENTS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "sum": lambda grad, a, b: (grad, grad),
    "product": lambda grad, a, b: (grad * b, grad * a),
    "max": _of_maximum,
}


def _blocks(maps: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some images of each tensor at a time: on a CPU what fits in the cache, elsewhere all."""
    size = max(len(maps), 1)
    if maps.device.type == "cpu":
        size = max(size * _BLOCK_BYTES // max(maps.numel() * maps.element_size(), 1), 1)
    return zip(*(torch.split(each, size) for each in (maps, *others)), strict=True)


def _differentiable_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients by plain operators, since they are to be differentiated in their turn."""
    maps, scale, *parts = ctx.saved_tensors
    # Views, since the parts were made from the map, and the way through them is not ours to go.
    views = (each if each is None else each.view_as(each) for each in (maps, scale, *parts))
    maps, scale, *parts = views
    arguments = (maps, scale, ctx.combine, *parts)
    is_wanted = ctx.needs_input_grad
    wanted = [each for each, wants in zip(arguments, is_wanted, strict=True) if wants]
    found = iter(torch.autograd.grad(_gated(*arguments), wanted, grad, create_graph=True))
    return tuple(next(found) if wants else None for wants in is_wanted)
