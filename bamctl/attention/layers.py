"""Variants of PyTorch's layers for BAM."""

from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as _AnyBatchNorm

from bamctl.networks.observed import is_observed


def has_one_value_each(x: Tensor, norm: _AnyBatchNorm) -> bool:
    """Return whether a batch has one value per channel, so that its variance is undefined."""
    return x.numel() == norm.num_features


@torch.fx.wrap
def normalized(x: Tensor, norm: _AnyBatchNorm) -> Tensor:
    """Apply batch norm, with running statistics if the batch has one value per channel.

    A leaf for `torch.fx`, which cannot branch on a symbolic size.
    """
    if norm.training and has_one_value_each(x, norm):
        mean, var = norm.running_mean, norm.running_var
        return F.batch_norm(x, mean, var, norm.weight, norm.bias, eps=norm.eps)
    return _AnyBatchNorm.forward(norm, x)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm for shape (N, C), also for a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize a tensor with shape (N, C)."""
        return normalized(x, self)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm for images, also for a single pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize a tensor with shape (N, C, H, W)."""
        return normalized(x, self)


class BatchNorm3d(nn.BatchNorm3d):
    """Batch norm for videos, also for a single pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize a tensor with shape (N, C, T, H, W)."""
        return normalized(x, self)


@torch.fx.wrap
def projected(maps: Tensor, conv: Any) -> Tensor:
    """Apply a 1x1 convolution to shape (N, C, ...), giving (N, conv.out_channels, ...).

    On a CPU, PyTorch's convolution first copies the map to a blocked memory format; a matrix
    product reads it directly.
    """
    if is_observed() or not _is_best_as_matrices(maps, conv):
        by_conv: Tensor = conv._conv_forward(maps, conv.weight, conv.bias)
        return by_conv
    num_images, pixels = len(maps), maps.shape[2:]
    weight = conv.weight.flatten(1).expand(num_images, -1, -1)
    bias = conv.bias[:, None].expand(num_images, -1, pixels.numel())
    return torch.unflatten(torch.baddbmm(bias, weight, maps.flatten(2)), 2, pixels)


def _is_best_as_matrices(maps: Tensor, conv: Any) -> bool:
    on_cpu = maps.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    is_fast = maps.dtype == torch.float32 or (
        maps.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return on_cpu and is_fast and maps.dtype == conv.weight.dtype and maps.is_contiguous()


class Projection2d(nn.Conv2d):
    """1x1 convolution, as a matrix product where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        """Project the channels of a tensor with shape (N, C, H, W)."""
        return projected(x, self)


class Projection3d(nn.Conv3d):
    """1x1x1 convolution, as a matrix product where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        """Project the channels of a tensor with shape (N, C, T, H, W)."""
        return projected(x, self)
