"""The paper's control: one more of the network's own blocks, in place of an attention module."""

import copy
from typing import Literal

import torch
import torch.fx
from torch import Tensor, nn

from bamctl.networks.inserted import detach
from bamctl.trunk.layouts import strided_as

# A leaf for `torch.fx`, which must be registered in each Python module that calls it.
torch.fx.wrap("strided_as")


class ExtraBlock(nn.Module):
    """A fresh copy of one of the network's own blocks, applied once more.

    The control for a gain from more parameters instead of attention, with which the paper compares
    BAM (Park et al., BMVC 2018, table 1). Convolutions of the copy are initialized Kaiming-normal
    (fan out), other layers by `reset_parameters`; parameters outside of such layers stay as copied.

    Args:
        block: a module that keeps the shape of its input, in any layout; it is copied.
        init: `kaiming`, or `identity`: `F + g * (block(F) - F)` with a learned g, initialized with
            zero. Not in the paper.
    """

    def __init__(self, block: nn.Module, init: Literal["kaiming", "identity"] = "kaiming") -> None:
        super().__init__()
        # Trainable even if the network is frozen.
        self.block = copy.deepcopy(block).requires_grad_()
        detach(self.block)
        self.scale = nn.Parameter(torch.zeros(())) if init == "identity" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialize weights and the scale of `init=identity`."""
        for layer in self.block.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
            if isinstance(layer, nn.modules.conv._ConvNd):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if self.scale is not None:
            nn.init.zeros_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to a feature map, keeping its shape."""
        if self.scale is None:
            out: Tensor = self.block(x)
            return out
        # Cloned, since an in-place first layer of the block would change x, which is read below.
        refined: Tensor = x + self.scale * (self.block(x.clone()) - x)
        return strided_as(x, refined)
