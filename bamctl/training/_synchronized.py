"""Synchronized batch norm: statistics over the batches of all processes.

Otherwise the result of training would depend on the number of devices.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class SynchronizedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Synchronized batch norm that also runs on a CPU, unlike `torch.nn.SyncBatchNorm`.

    Input and output have shape (N, C, ...), as those of the batch norm that it replaces.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - the name of the base class
        """Accept any number of axes; those of the replaced layer were already checked."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Normalize each channel to mean 0 and variance 1, then scale and shift."""
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
        """Update the running statistics as in PyTorch."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        seen = float(self.num_batches_tracked)
        momentum = 1 / seen if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Sum(torch.autograd.Function):
    """Differentiable sum over all processes, whose gradient is also summed over them."""

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
    """Convert every batch norm of a network to a synchronized one, in place.

    The layers stay the same objects, with their weights and hooks.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            continue
        if device.type == "cpu":
            layer.__class__ = SynchronizedBatchNorm
        else:
            layer.__class__ = nn.SyncBatchNorm
            layer.process_group = None  # type: ignore[assignment]
