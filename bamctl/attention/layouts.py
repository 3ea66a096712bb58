"""Orders of axes in which networks keep feature maps, and the way to (N, C, H, W) and back."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Nchw:
    """Maps with shape (N, C, H, W): nothing to do."""

    name: ClassVar[str] = "nchw"

    def shape(self, num_channels: int, height: int, width: int) -> tuple[int, ...]:
        """The shape of the map of one image, without the batch."""
        return (num_channels, height, width)

    def to_nchw(self, x: Tensor) -> Tensor:
        """The map itself."""
        return x

    def from_nchw(self, maps: Tensor, x: Tensor) -> Tensor:
        """The map itself."""
        return maps


@dataclass(frozen=True)
class Nhwc:
    """Maps with shape (N, H, W, C), as in Swin."""

    name: ClassVar[str] = "nhwc"

    def shape(self, num_channels: int, height: int, width: int) -> tuple[int, ...]:
        """The shape of the map of one image, without the batch."""
        return (height, width, num_channels)

    def to_nchw(self, x: Tensor) -> Tensor:
        """A view with shape (N, C, H, W)."""
        return x.permute(0, 3, 1, 2)

    def from_nchw(self, maps: Tensor, x: Tensor) -> Tensor:
        """A view with shape (N, H, W, C)."""
        return maps.permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Tokens:
    """Patches with shape (N, num_prefix_tokens + height * width, C), as in a Vision Transformer.

    The first `num_prefix_tokens`, such as the class token, have no place in the image; they pass
    unchanged.
    """

    height: int
    width: int
    num_prefix_tokens: int = 0

    name: ClassVar[str] = "tokens"

    def shape(self, num_channels: int, height: int, width: int) -> tuple[int, ...]:
        """The shape of the map of one image, without the batch."""
        return (self.num_prefix_tokens + height * width, num_channels)

    def to_nchw(self, x: Tensor) -> Tensor:
        """The patches on their grid, with shape (N, C, H, W)."""
        patches = x[:, self.num_prefix_tokens :].transpose(1, 2)
        return torch.unflatten(patches, 2, (self.height, self.width))

    def from_nchw(self, maps: Tensor, x: Tensor) -> Tensor:
        """The patches in a row again, behind the prefix tokens of `x`."""
        patches = maps.flatten(2).transpose(1, 2)
        return torch.cat((x[:, : self.num_prefix_tokens], patches), dim=1)


Layout = Nchw | Nhwc | Tokens
