"""Memory-efficient autograd functions for BAM's operations on whole maps.

Plain operators would save a gate as large as the map for the backward pass, and allocate several
temporary maps. These functions save the small tensors from which the gate is recomputed, and
compute in place. Under a tracer, compiler or functorch transform, plain operators run.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
import torch.fx
from torch import Tensor

from bamctl.attention._tails import Part
from bamctl.networks.observed import is_observed
from bamctl.trunk.layouts import empty_as

COMBINE: dict[str, Callable[..., Tensor]] = {
    "sum": torch.add,
    "product": torch.mul,
    "max": torch.maximum,
}

# Size of the blocks that a CPU processes at a time, so that they stay in its cache.
_BLOCK_BYTES = 2**22

_through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input


@torch.fx.wrap
def pooled(maps: Tensor) -> Tensor:
    """Return the average of each channel, from shape (N, C, ...) to (N, C)."""
    average: Tensor = _mean(maps) if is_observed() else _Pooled.apply(maps)
    return average


@torch.fx.wrap
def gated(
    maps: Tensor, parts: Sequence[Part | Tensor], scale: Tensor | None, combine: str
) -> Tensor:
    """Return `maps + maps * scale * sigmoid(combine(*parts))`.

    Args:
        maps: the feature map, with shape (N, C, H, W) or (N, C, T, H, W).
        parts: one tensor that broadcasts to the map, or two that broadcast to its shape together.
        scale: a scalar, or None for 1.
        combine: `sum`, `product` or `max`.
    """
    if is_observed():
        return _gated(maps, scale, combine, *(each for each in parts if isinstance(each, Tensor)))
    all_parts = [each if isinstance(each, Part) else _kept_itself(each) for each in parts]
    kept = (tensor for each in all_parts for tensor in each.kept)
    refined: Tensor = _Gated.apply(maps, scale, combine, all_parts, *kept)
    return refined


def _kept_itself(part: Tensor) -> Part:
    return Part(part, (part,), lambda kept: kept.view_as(kept))


def _mean(maps: Tensor) -> Tensor:
    return maps.mean(tuple(range(2, maps.dim())))


def _gated(maps: Tensor, scale: Tensor | None, combine: str, *parts: Tensor) -> Tensor:
    gate = torch.sigmoid(COMBINE[combine](*parts) if len(parts) == 2 else parts[0])
    return torch.addcmul(maps, maps, gate if scale is None else gate * scale)


class _Pooled(torch.autograd.Function):
    """The average over pixels; its gradient, constant in each channel, is an expanded view."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape = maps.shape
        # Blockwise, since in half precision PyTorch first copies the map to single precision.
        return torch.cat([_mean(some) for (some,) in _blocks(maps)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        pixels = ctx.shape[2:]
        share: Tensor = grad / pixels.numel()
        return share.reshape(*grad.shape, *(1 for _ in pixels)).expand(ctx.shape)


class _Gated(torch.autograd.Function):
    """The gated map; the gate is recomputed in the backward pass from the saved tensors."""

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        scale: Tensor | None,
        combine: str,
        parts: Sequence[Part],
        *kept: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(maps, scale, *kept)
        ctx.combine = combine
        ctx.again = [(each.again, len(each.kept)) for each in parts]
        result = empty_as(maps)
        for x, y, *block_parts in _blocks(maps, result, *(each.value for each in parts)):
            gate = _gate(block_parts, combine, out=y)
            torch.addcmul(x, x, gate if scale is None else gate.mul_(scale), out=y)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, grad)
        maps, scale, *kept = ctx.saved_tensors
        needs_grad = ctx.needs_input_grad[-len(kept) :]
        kept = [
            each.detach().requires_grad_(wants)
            for each, wants in zip(kept, needs_grad, strict=True)
        ]
        with torch.enable_grad():
            parts = _parts_again(ctx, kept)
        grad_scale: Any = None if scale is None else torch.zeros_like(scale)
        grad_maps, *grad_parts = (torch.empty_like(each) for each in (maps, *parts))
        for x, dy, dx, *rest in _blocks(maps, grad, grad_maps, *grad_parts, *parts):
            block_grads, block_parts = rest[: len(parts)], rest[len(parts) :]
            gate = _gate(block_parts, ctx.combine, out=torch.empty_like(x))
            of_gate = dy * x
            if scale is not None:
                grad_scale += (of_gate * gate).sum()
                of_gate.mul_(scale)
            of_combined = _through_sigmoid(of_gate, gate.expand_as(x), grad_input=of_gate)
            torch.addcmul(dy, dy, gate if scale is None else gate.mul_(scale), out=dx)
            of_parts = _gradients(of_combined, ctx.combine, block_parts)
            for block_grad, full in zip(block_grads, of_parts, strict=True):
                block_grad.copy_(full.sum_to_size(block_grad.shape))
        return grad_maps, grad_scale, None, None, *_through(parts, grad_parts, kept)


def _parts_again(ctx: Any, kept: Sequence[Tensor]) -> list[Tensor]:
    left = iter(kept)
    return [again(*islice(left, count)) for again, count in ctx.again]


def _through(
    parts: Sequence[Tensor], grads: Sequence[Tensor], kept: Sequence[Tensor]
) -> Iterator[Tensor | None]:
    """Yield the gradients of the saved tensors, from those of the parts computed from them."""
    inputs = [each for each in kept if each.requires_grad]
    pairs = [pair for pair in zip(parts, grads, strict=True) if pair[0].requires_grad]
    outputs, of_outputs = zip(*pairs, strict=True) if pairs else ((), ())
    gradients = iter(torch.autograd.grad(outputs, inputs, of_outputs) if inputs else ())
    return (next(gradients) if each.requires_grad else None for each in kept)


def _gate(parts: Sequence[Tensor], combine: str, out: Tensor) -> Tensor:
    """Return the sigmoid of the combined parts; of two parts, in the memory of `out`."""
    if len(parts) == 1:
        return torch.sigmoid(parts[0].to(out.dtype))
    return COMBINE[combine](*parts, out=out).sigmoid_()


def _of_maximum(grad: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Split the gradient of a maximum: half to each side where both are equal, as in PyTorch."""
    share = torch.heaviside(a - b, torch.full((), 0.5, dtype=a.dtype, device=a.device))
    return grad * share, grad * (1 - share)


def _gradients(grad: Tensor, combine: str, parts: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradients of the parts, before the sum over broadcast axes."""
    return _GRADIENTS[combine](grad, *parts) if len(parts) == 2 else (grad,)


_GRADIENTS: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "sum": lambda grad, a, b: (grad, grad),
    "product": lambda grad, a, b: (grad * b, grad * a),
    "max": _of_maximum,
}


def _blocks(maps: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split tensors along the batch: on a CPU to blocks that fit in the cache, elsewhere not."""
    size = max(len(maps), 1)
    if maps.device.type == "cpu":
        size = max(size * _BLOCK_BYTES // max(maps.numel() * maps.element_size(), 1), 1)
    return zip(*(torch.split(each, size) for each in (maps, *others)), strict=True)


def _differentiable_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients computed by plain operators, for double backward."""
    # Views, so that the gradient stops here even if a saved tensor was computed from the map.
    views: Any = (each if each is None else each.view_as(each) for each in ctx.saved_tensors)
    maps, scale, *kept = views
    result = _gated(maps, scale, ctx.combine, *_parts_again(ctx, kept))
    arguments = (maps, scale, None, None, *kept)
    needs_grad = ctx.needs_input_grad
    inputs = [each for each, wants in zip(arguments, needs_grad, strict=True) if wants]
    gradients = iter(torch.autograd.grad(result, inputs, grad, create_graph=True))
    return tuple(next(gradients) if wants else None for wants in needs_grad)
