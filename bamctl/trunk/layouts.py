"""Layouts of feature maps, and conversion to channels first and back."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
import torch.fx
from torch import Tensor

from bamctl.networks.observed import is_observed


def empty_as(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return an uninitialised tensor with the strides of `x`, gaps included.

    `torch.empty_like` makes a tensor with gaps dense.
    """
    dtype, end = dtype or x.dtype, 0
    for stride, length in sorted(zip(x.stride(), x.shape, strict=True)):
        if length > 1 and stride <= end:
            return torch.empty_like(x, dtype=dtype)  # Elements share memory, as after `expand`.
        end += stride * (length - 1)
    return torch.empty_strided(x.shape, x.stride(), dtype=dtype, device=x.device)


@torch.fx.wrap
def strided_as(x: Tensor, result: Tensor) -> Tensor:
    """Return a result with the shape of `x` in the memory format of `x`.

    Kernels may sum in another order for another memory format, so that an unchanged map would give
    slightly different outputs. Under a compiler or tracer, which choose strides, it is unchanged.
    """
    if is_observed() or _strides(result) == _strides(x):
        return result
    return empty_as(x, result.dtype).copy_(result)


def _strides(x: Tensor) -> list[int]:
    """Return the strides of axes with more than one element; those of others are arbitrary."""
    return [stride for stride, length in zip(x.stride(), x.shape, strict=True) if length > 1]


@dataclass(frozen=True)
class Nchw:
    """Maps with shape (N, C, H, W); conversions return their argument."""

    name: ClassVar[str] = "nchw"
    spatial_axes: ClassVar[int] = 2

    def shape(self, num_channels: int, extents: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the map of one image, without the batch."""
        return (num_channels, *extents)

    def to_channels_first(self, x: Tensor) -> Tensor:
        """Return the map itself."""
        return x

    def from_channels_first(self, maps: Tensor, x: Tensor) -> Tensor:
        """Return the map itself."""
        return maps


@dataclass(frozen=True)
class Ncdhw(Nchw):
    """Maps of a video with shape (N, C, T, H, W); conversions return their argument."""

    name: ClassVar[str] = "ncdhw"
    spatial_axes: ClassVar[int] = 3


@dataclass(frozen=True)
class Nhwc:
    """Maps with shape (N, H, W, C), as in Swin."""

    name: ClassVar[str] = "nhwc"
    spatial_axes: ClassVar[int] = 2

    def shape(self, num_channels: int, extents: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the map of one image, without the batch."""
        return (*extents, num_channels)

    def to_channels_first(self, x: Tensor) -> Tensor:
        """Return a view with shape (N, C, H, W)."""
        return x.permute(0, -1, *range(1, self.spatial_axes + 1))

    def from_channels_first(self, maps: Tensor, x: Tensor) -> Tensor:
        """Return a view with shape (N, H, W, C)."""
        return maps.permute(0, *range(2, self.spatial_axes + 2), 1)


@dataclass(frozen=True)
class Ndhwc(Nhwc):
    """Maps of a video, with shape (N, T, H, W, C), as in Swin3D."""

    name: ClassVar[str] = "ndhwc"
    spatial_axes: ClassVar[int] = 3


@dataclass(frozen=True)
class Tokens:
    """Patches with shape (N, num_prefix_tokens + P, C), as in a Vision Transformer.

    The P patches form a `grid` of (height, width) or (frames, height, width). The first
    `num_prefix_tokens`, such as the class token, have no place in the image; they pass unchanged.
    """

    grid: tuple[int, ...]
    num_prefix_tokens: int = 0

    name: ClassVar[str] = "tokens"

    @property
    def spatial_axes(self) -> int:
        """2 for images, 3 for videos."""
        return len(self.grid)

    def shape(self, num_channels: int, extents: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the map of one image, without the batch."""
        return (self.num_prefix_tokens + prod(extents), num_channels)

    def to_channels_first(self, x: Tensor) -> Tensor:
        """Return the patches on their grid, with shape (N, C, H, W) or (N, C, T, H, W)."""
        patches = x[:, self.num_prefix_tokens :].transpose(1, 2)
        return torch.unflatten(patches, 2, self.grid)

    def from_channels_first(self, maps: Tensor, x: Tensor) -> Tensor:
        """Return the patches in a row again, behind the prefix tokens of `x`."""
        tokens = maps.flatten(2).transpose(1, 2)
        if self.num_prefix_tokens:
            tokens = torch.cat((x[:, : self.num_prefix_tokens], tokens), dim=1)
        return strided_as(x, tokens)


Layout = Nchw | Nhwc | Tokens
