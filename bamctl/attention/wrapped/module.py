"""`Wrapped`: an attention module for images, applied to maps of any layout."""

from typing import Literal

import torch
import torch.fx
from torch import Tensor, nn

from bamctl.trunk.layouts import Layout, Nchw, strided_as

# A leaf for `torch.fx`, which must be registered in each Python module that calls it.
torch.fx.wrap("strided_as")


class Wrapped(nn.Module):
    """Applies a module that keeps the shape of a feature map, in the layout of a site.

    Args:
        module: a module that maps shape (N, C, H, W) to the same shape.
        init: `kaiming` for the module's own initialization, or `identity`: `F + g * (module(F) -
            F)` with a learned scalar g, initialized with zero, so that the output equals the input
            until training changes it.
        layout: the layout of the input. Default: (N, C, H, W).
        by_frame: apply it to the frames of a video one by one, for a module that knows images only.
        changes_input: the module writes to its input, and so gets a copy.
    """

    def __init__(
        self,
        module: nn.Module,
        init: Literal["kaiming", "identity"] = "kaiming",
        layout: Layout | None = None,
        by_frame: bool = False,
        changes_input: bool = False,
    ) -> None:
        super().__init__()
        self.module = module
        self.layout = layout or Nchw()
        self.by_frame = by_frame
        self.changes_input = changes_input
        self.scale = nn.Parameter(torch.zeros(())) if init == "identity" else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module to a feature map in its layout, keeping its shape."""
        maps = self.layout.to_channels_first(x)
        given = maps.clone() if self.changes_input else maps
        refined = self._by_frame(given) if self.by_frame else self.module(given)
        if self.scale is not None:
            refined = maps + self.scale * (refined - maps)
        return self.layout.from_channels_first(strided_as(maps, refined), x)

    def _by_frame(self, maps: Tensor) -> Tensor:
        """Apply the module to each frame of maps with shape (N, C, T, H, W)."""
        frames = maps.transpose(1, 2)
        refined: Tensor = self.module(frames.flatten(0, 1))
        return torch.unflatten(refined, 0, (-1, maps.shape[2])).transpose(1, 2)
