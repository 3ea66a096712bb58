"""BAM, the Bottleneck Attention Module (Park et al., BMVC 2018), as printed and as released."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as _AnyBatchNorm

from bamctl.attention._lean import COMBINE, gated, pooled
from bamctl.attention._tails import broadcastable, part
from bamctl.attention.layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Projection2d,
    Projection3d,
)
from bamctl.trunk.layouts import Layout, Nchw

# Leaves for `torch.fx`, which must be registered in each Python module that calls them.
for _name in ("gated", "pooled"):
    torch.fx.wrap(_name)


class BAM(nn.Module):
    """Scales a feature map by one plus a gate: `F + F * sigmoid(combine(Mc(F), Ms(F)))`.

    Mc, with shape (N, C, 1, 1), is the channel attention, and Ms, with shape (N, 1, H, W), spatial.
    Source: Park et al., "BAM: Bottleneck Attention Module", BMVC 2018, section 3, equations 1-5.

    `paper` normalizes after the last layer of each branch, as in the equations; `official` after
    each hidden layer and not after the last, as in the authors' released code, and combines by
    product instead of sum. In both, convolutions are initialized Kaiming-normal (fan out), linear
    layers by PyTorch's default, biases with zero, and batch norms as the identity.

    If a batch norm gets one value per channel in training (the channel branch, for a batch of one),
    the variance is undefined; it then normalizes with its running statistics.

    In a layout with frames, for video, the average is over time and space, and the convolutions are
    3-D with kernels of 3x3x3, dilated in space only. The paper covers images only.

    Args:
        num_channels: C.
        reduction: the reduction ratio r; hidden layers have max(C // r, 1) channels.
        dilation: the dilation, and padding, of the 3x3 convolutions of the spatial branch.
        dilated_convs: the number of dilated convolutions.
        branches: `both`, `channel` or `spatial`.
        combine: `sum`, `product` or `max`. Default: that of the variant.
        variant: `paper` or `official`.
        init: `kaiming`, or `identity`: the gate is multiplied by a learned scalar initialized with
            zero, so that the output equals the input until training changes it. Not in the paper.
        layout: the layout of the input. Default: (N, C, H, W).

    Raises:
        ValueError: a hyperparameter is out of its range.

    >>> import torch
    >>> bam = BAM(256)
    >>> bam(torch.zeros(2, 256, 56, 56)).shape
    torch.Size([2, 256, 56, 56])
    >>> sum(p.numel() for p in bam.parameters())
    17747
    """

    def __init__(
        self,
        num_channels: int,
        reduction: int = 16,
        dilation: int = 4,
        dilated_convs: int = 2,
        branches: Literal["both", "channel", "spatial"] = "both",
        combine: Literal["sum", "product", "max"] | None = None,
        variant: Literal["paper", "official"] = "paper",
        init: Literal["kaiming", "identity"] = "kaiming",
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        _check(num_channels=(num_channels, 1), reduction=(reduction, 1), dilation=(dilation, 1))
        _check(dilated_convs=(dilated_convs, 0))
        for value, known in (
            (branches, ("both", "channel", "spatial")),
            (combine, (None, *COMBINE)),
            (variant, ("paper", "official")),
            (init, ("kaiming", "identity")),
        ):
            if value not in known:
                raise ValueError(f"{value!r} is not one of {', '.join(map(str, known))}")
        hidden = max(num_channels // reduction, 1)
        self.combine = combine or {"paper": "sum", "official": "product"}[variant]
        self.layout = layout or Nchw()
        self.channel = self.spatial = None
        if branches in ("both", "channel"):
            self.channel = _channel_branch(num_channels, hidden, variant)
        if branches in ("both", "spatial"):
            self.spatial = _spatial_branch(
                num_channels, hidden, dilation, dilated_convs, variant, self.layout.spatial_axes
            )
        self.scale = nn.Parameter(torch.zeros(())) if init == "identity" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialize weights, batch norms and the scale of `init=identity`."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear | _AnyBatchNorm):
                layer.reset_parameters()
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
            if isinstance(layer, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if self.scale is not None:
            nn.init.zeros_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module to a feature map with shape (N, C, H, W), or that of its layout."""
        maps = self.layout.to_channels_first(x)
        parts = [part(*branch) for branch in self._branches(maps)]
        refined = gated(maps, parts, self.scale, self.combine)
        return self.layout.from_channels_first(refined, x)

    def parts(self, maps: Tensor) -> list[Tensor]:
        """Return the output of each branch, broadcastable to (N, C, H, W); Mc before Ms."""
        return [broadcastable(branch(x), axes) for branch, x, axes in self._branches(maps)]

    def _branches(self, maps: Tensor) -> Iterator[tuple[nn.Module, Tensor, int]]:
        """Yield each branch with its input and the number of axes that its output lacks."""
        if self.channel is not None:
            yield self.channel, pooled(maps), self.layout.spatial_axes
        if self.spatial is not None:
            yield self.spatial, maps, 0

    def extra_repr(self) -> str:
        """Return the settings that `print(model)` shows."""
        return f"combine={self.combine}, layout={type(self.layout).__name__}"


def _check(**ranges: tuple[int, int]) -> None:
    for name, (value, least) in ranges.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _channel_branch(num_channels: int, hidden: int, variant: str) -> nn.Sequential:
    """Map channel averages with shape (N, C) to (N, C)."""
    layers: dict[str, nn.Module] = {"reduce": nn.Linear(num_channels, hidden)}
    if variant == "official":
        layers["norm"] = BatchNorm1d(hidden)
    layers |= {"relu": nn.ReLU(), "expand": nn.Linear(hidden, num_channels)}
    if variant == "paper":
        layers["norm"] = BatchNorm1d(num_channels)
    return nn.Sequential(OrderedDict(layers))


def _spatial_branch(
    num_channels: int,
    hidden: int,
    dilation: int,
    dilated_convs: int,
    variant: str,
    spatial_axes: int,
) -> nn.Sequential:
    """Map feature maps with shape (N, C, H, W) to (N, 1, H, W), or with frames before H."""
    layer_types: dict[int, tuple[Any, Any, Any]] = {
        2: (nn.Conv2d, Projection2d, BatchNorm2d),
        3: (nn.Conv3d, Projection3d, BatchNorm3d),
    }
    conv, project, norm = layer_types[spatial_axes]
    layers: dict[str, nn.Module] = {}

    def add(name: str, layer: nn.Module) -> None:
        layers[name] = layer
        if variant == "official":
            layers[f"{name}_norm"] = norm(hidden)
        layers[f"{name}_relu"] = nn.ReLU()

    add("reduce", project(num_channels, hidden, 1))
    # No dilation along time: the kernel covers adjacent frames.
    spread = (1, dilation, dilation)[-spatial_axes:]
    for index in range(dilated_convs):
        add(f"dilated_{index}", conv(hidden, hidden, 3, padding=spread, dilation=spread))
    layers["collapse"] = conv(hidden, 1, 1)
    if variant == "paper":
        layers["norm"] = norm(1)
    return nn.Sequential(OrderedDict(layers))
