"""A kind of attention module that the program does not have: settings, module and cost."""

from math import prod
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bamctl.attention.cost import Cost
from bamctl.attention.kind import AttentionKind, Site
from bamctl.attention.settings import InitField, Settings
from bamctl.files.schemas import PositiveInt
from bamctl.trunk.layouts import Layout, Nchw
from bamctl.trunk.traced import TracedNetwork


class SqueezeSettings(Settings):
    searched: ClassVar = {"ratio": (4, 2)}

    module: Literal["squeeze"] = Field(default="squeeze", description="the attention module")
    ratio: PositiveInt = Field(default=4, description="how much narrower the middle is")
    init: InitField = "kaiming"


class Squeeze(nn.Module):
    """`F + g * F * sigmoid(W2 relu(W1 mean(F)))`, after Hu et al., CVPR 2018, with a scalar g."""

    def __init__(
        self,
        num_channels: int,
        ratio: int = 4,
        init: str = "kaiming",
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        hidden = max(num_channels // ratio, 1)
        self.layout = layout or Nchw()
        self.reduce = nn.Linear(num_channels, hidden)
        self.expand = nn.Linear(hidden, num_channels)
        self.scale = nn.Parameter(torch.full((), float(init != "identity")))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.layout.to_channels_first(x)
        gate = self.expand(torch.relu(self.reduce(maps.flatten(2).mean(-1))))
        scaled = self.scale * torch.sigmoid(gate).unflatten(1, (-1, 1, 1))
        return self.layout.from_channels_first(maps + maps * scaled, x)


class SqueezeKind(AttentionKind):
    settings = SqueezeSettings
    summary = "a gate of channels"

    def layer(self) -> type[Squeeze]:
        return Squeeze

    def cost(self, site: Site, traced: TracedNetwork) -> Cost:
        at = site.point.map
        channels, values = at.num_channels, at.num_channels * at.num_pixels
        hidden = max(channels // site.attention.ratio, 1)
        return Cost(
            params=2 * channels * hidden + hidden + channels + 1,
            macs=2 * channels * hidden,
            # Mean, product and sum over the map; ReLU, sigmoid and the scalar.
            elementwise_ops=3 * values + hidden + 2 * channels,
            # The refined map, the means, the hidden layer, and the gate without and with g.
            memory_bytes=traced.trace.dtype.itemsize * (prod(at.shape) + 3 * channels + hidden),
        ).for_batch(at.batch)


class Bare(nn.Module):
    """A gate of one's own that knows nothing of bamctl, and writes to its input."""

    def __init__(self, channels: int, power: float = 1.0) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.mix(x.mean((2, 3), keepdim=True))) ** self.power
        return x.mul_(gate)


class Spectral(nn.Module):
    """A filter in the frequency domain, whose transforms have no formula."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.weight, s=x.shape[-2:])
