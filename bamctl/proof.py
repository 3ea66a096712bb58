"""Proof that a network still works after an insertion: one forward and one backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bamctl.attention.hook import HOLDER, detached
from bamctl.errors import BamctlError


@dataclass(frozen=True)
class Proof:
    """What one forward and one backward pass in eval mode showed.

    `output_change` is the norm of the change of the output that the insertion made, relative to
    the norm of the output before: 0 exactly if every bit is the same, None if every output was
    zero, as that of a head that starts at zero.
    """

    output_shape: tuple[int, ...]
    output_change: float | None
    num_params_with_gradient: int


def prove(model: nn.Module, input_shape: tuple[int, int, int]) -> Proof:
    """Run a network with and without what is inserted in it, and backward through it.

    The network is left as it was found: modes, gradients and buffers.

    Args:
        model: a network that returns one tensor in eval mode.
        input_shape: channels, height and width of a random image.

    Raises:
        BamctlError: the output or a gradient of an inserted parameter is missing or not finite.
    """
    like = next(model.parameters())
    image = torch.randn((1, *input_shape), generator=torch.Generator().manual_seed(0))
    image = image.to(device=like.device, dtype=like.dtype)
    inserted = [p for name, p in model.named_parameters() if name.startswith(f"{HOLDER}.")]
    with _evaluating(model):
        with detached(model), torch.no_grad():
            before: Tensor = model(image)
        after: Tensor = model(image)
        # The mean of squares has a gradient everywhere, where a sum after a softmax has none.
        gradients = torch.autograd.grad(after.square().mean(), inserted, allow_unused=True)
    reached = [g for g in gradients if g is not None and bool(g.isfinite().all())]
    if not bool(after.isfinite().all()) or len(reached) < len(inserted):
        raise BamctlError("the proof failed: the output or a gradient is missing or not finite")
    return Proof(
        output_shape=tuple(after.shape),
        output_change=_relative_change(before, after.detach()),
        num_params_with_gradient=sum(gradient.numel() for gradient in reached),
    )


def _relative_change(before: Tensor, after: Tensor) -> float | None:
    if not bool(before.any()):
        return None
    return float((after.double() - before.double()).norm() / before.double().norm())


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
