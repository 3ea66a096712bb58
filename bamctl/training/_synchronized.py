"""Batch norm over the whole batch where several processes share it.

Otherwise what a network learns would depend on the number of devices that it was trained on.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class SynchronizedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all processes, on a CPU too, where PyTorch has none.

    Takes what the batch norm takes that it stands for: values with shape (N, C, ...).
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - the name of the base class
        """Any number of axes; the batch norm that this was has checked them before."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """The values with mean 0 and variance 1 in each channel, scaled and shifted."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.dim())]
        own = input.new_tensor([input.numel() / input.shape[1]])
        count = _sum(own)
        mean = _sum(input.sum(axes)) / count
        centred = input - mean.view(shape)
        variance = _sum((centred * centred).sum(axes)) / count
        self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        out: Tensor = centred * (variance + self.eps).rsqrt().view(shape)
        return out * self.weight.view(shape) + self.bias.view(shape) if self.affine else out

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Keep the running statistics, as PyTorch does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        seen = float(self.num_batches_tracked)
        momentum = 1 / seen if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Sum(torch.autograd.Function):
    """The sum over all processes; what one of them makes of it reaches every term."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(context, gradients[0])


def _sum(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)
    return total


def synchronize(network: nn.Module, device: torch.device) -> None:
    """Turn every batch norm of a network into one over all processes, in place.

    The layers stay the objects that they are, with their weights and hooks.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            continue
        if device.type == "cpu":
            layer.__class__ = SynchronizedBatchNorm
        else:
            layer.__class__ = nn.SyncBatchNorm
            layer.process_group = None  # type: ignore[assignment]
