"""Evaluation: mean loss and accuracy of a network over labelled images."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from bamctl.errors import InputError


@torch.no_grad()
def judge(
    forward: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    accelerator: Accelerator,
) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy over all processes.

    Args:
        forward: returns logits with shape (N, classes) for pixels with shape (N, C, H, W).
        batches: the part of this process, as pixels and labels.
        accelerator: what the processes share.
    """
    sums = torch.zeros(3, device=accelerator.device, dtype=torch.float64)
    for pixels, labels in batches:
        with accelerator.autocast():
            logits = forward(pixels).float()
        right = (logits.argmax(1) == labels).sum()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([loss.double(), right.double(), right.new_tensor(len(labels))])
    total, right_ones, count = accelerator.reduce(sums, "sum").tolist()
    return total / max(count, 1), right_ones / max(count, 1)


def logits_of(output: Any) -> Tensor:
    """Return the logits of a network that may return auxiliary ones, too.

    Raises:
        InputError: there are none.
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise InputError("the network does not return class scores in training mode")
    return logits


def finite(value: float | None) -> float | None:
    """Return a number, or None if it is infinite or NaN."""
    return value if value is not None and math.isfinite(value) else None
