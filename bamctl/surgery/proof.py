"""Proof that a network still works after an insertion: one forward and one backward pass."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bamctl import units
from bamctl.errors import BamctlError
from bamctl.networks import example
from bamctl.networks.inputs import Inputs, InputsLike, read
from bamctl.networks.inserted import HOLDER, detached
from bamctl.networks.restoring import left_as_found
from bamctl.networks.structures import tensors


@dataclass(frozen=True)
class Proof:
    """The result of one forward and one backward pass.

    `output_shapes` are the shapes of the tensors that the network returns in eval mode, by their
    paths in the result. `output_change` is the norm of the change of these tensors by the
    insertion, relative to their norm before: exactly 0 if all bits are equal, None if all outputs
    were zero, as with a zero-initialized head. For a detector, which may detect nothing, it is the
    relative change of its losses on one object.
    """

    output_shapes: dict[str, tuple[int, ...]]
    output_change: float | None
    num_params_with_gradient: int


def prove(model: nn.Module, given: InputsLike) -> Proof:
    """Run a network without and with its inserted modules, and a backward pass.

    The network is left unchanged: modes, gradients, buffers and random state.

    Args:
        model: a network that returns tensors, in any structure.
        given: the shapes of its inputs, without the batch; they are filled with random numbers.

    Raises:
        BamctlError: an output or the gradient of an inserted parameter is missing or not finite, or
            the insertion changed the structure or shapes of the result.
    """
    inputs = read(given)
    inserted = [p for name, p in model.named_parameters() if name.startswith(f"{HOLDER}.")]
    judged = _losses if example.is_detector(model) else _answer
    with left_as_found(model):
        with detached(model):
            before = judged(model, inputs)
        with torch.enable_grad():
            after = judged(model, inputs)
            # The mean of squares has a nonzero gradient even after a softmax, unlike the sum.
            squares = [t.square().mean() for t in after.values() if t.requires_grad and t.numel()]
        if _shapes(before) != _shapes(after):
            raise BamctlError(
                f"the proof failed: the network returned {_listed(before)} before the insertion, "
                f"and {_listed(after)} after it; if it iterates over its own children, wrap it "
                "in another module, and insert into that"
            )
        answer = after if judged is _answer else _answer(model, inputs)
        if not squares:
            raise BamctlError("the proof failed: no output of the network requires a gradient")
        gradients = torch.autograd.grad(squares, inserted, allow_unused=True)
    reached = [g for g in gradients if g is not None and bool(g.isfinite().all())]
    finite = all(bool(tensor.isfinite().all()) for tensor in after.values())
    if not finite or len(reached) < len(inserted):
        raise BamctlError("the proof failed: the output or a gradient is missing or not finite")
    return Proof(
        output_shapes=_shapes(answer),
        output_change=_relative_change(before, after),
        num_params_with_gradient=sum(gradient.numel() for gradient in reached),
    )


def _shapes(answer: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in answer.items()}


def _listed(answer: dict[str, Tensor]) -> str:
    shapes = (f"{name} {units.shape(shape)}".strip() for name, shape in _shapes(answer).items())
    return f"{len(answer)} tensors ({', '.join(shapes)})"


def _answer(model: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Return a network's outputs in eval mode for a fixed random image, by their paths."""
    drawn = torch.Generator().manual_seed(0)
    result = model(*example.arguments(model, inputs, generator=drawn))
    return {".".join(map(str, path)): tensor for path, tensor in tensors(result)}


def _losses(model: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Return a detector's losses for a fixed random image, each as a tensor of shape (1,)."""
    drawn = torch.Generator().manual_seed(0)
    arguments = example.training_arguments(model, inputs, generator=drawn)
    for module in model.modules():
        # Batch norms stay in eval mode, since one image would give useless running statistics.
        module.training = not isinstance(module, nn.modules.batchnorm._BatchNorm)
    try:
        torch.manual_seed(0)
        return {name: loss.reshape(1) for name, loss in model(*arguments).items()}
    finally:
        model.eval()


def _relative_change(before: dict[str, Tensor], after: dict[str, Tensor]) -> float | None:
    one, other = (
        torch.cat([tensor.detach().double().flatten() for tensor in each.values()])
        for each in (before, after)
    )
    return float((other - one).norm() / one.norm()) if bool(one.any()) else None
