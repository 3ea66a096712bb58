"""BAM as one would write it from the paper's equations: the `paper` variant, for images."""

import torch
from torch import Tensor, nn


class Textbook(nn.Module):
    """The layers of `bamctl.BAM(num_channels)` under the same names, by plain operators.

    Both branches are broadcast by `expand_as`, and the map is multiplied by one plus the gate.
    """

    def __init__(self, num_channels: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        hidden = num_channels // reduction
        self.channel = nn.Sequential()
        self.channel.add_module("reduce", nn.Linear(num_channels, hidden))
        self.channel.add_module("relu", nn.ReLU())
        self.channel.add_module("expand", nn.Linear(hidden, num_channels))
        self.channel.add_module("norm", nn.BatchNorm1d(num_channels))
        self.spatial = nn.Sequential()
        self.spatial.add_module("reduce", nn.Conv2d(num_channels, hidden, 1))
        self.spatial.add_module("reduce_relu", nn.ReLU())
        for index in range(2):
            dilated = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
            self.spatial.add_module(f"dilated_{index}", dilated)
            self.spatial.add_module(f"dilated_{index}_relu", nn.ReLU())
        self.spatial.add_module("collapse", nn.Conv2d(hidden, 1, 1))
        self.spatial.add_module("norm", nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        channel = self.channel(x.mean((2, 3)))[:, :, None, None].expand_as(x)
        spatial = self.spatial(x).expand_as(x)
        return (1 + torch.sigmoid(channel + spatial)) * x
