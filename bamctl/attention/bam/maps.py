"""The gate of a BAM for one image."""

import torch
from torch import Tensor, nn

from bamctl.attention._lean import COMBINE
from bamctl.attention.bam.module import BAM
from bamctl.attention.kind import GateMaps


def gate_maps(module: nn.Module, x: Tensor) -> GateMaps:
    """Return the branches and the gate of a `BAM` for one image, in the layout of the module."""
    assert isinstance(module, BAM)
    maps = module.layout.to_channels_first(x)
    parts = module.parts(maps)
    branches = [branch for branch in ("channel", "spatial") if getattr(module, branch) is not None]
    outputs = dict(zip(branches, parts, strict=True))
    gate = torch.sigmoid(COMBINE[module.combine](*parts) if len(parts) == 2 else parts[0])
    return GateMaps(
        gate=gate if module.scale is None else gate * module.scale,
        before=maps,
        after=module.layout.to_channels_first(module(x)),
        channel=outputs["channel"].flatten() if "channel" in outputs else None,
        spatial=outputs["spatial"][0, 0] if "spatial" in outputs else None,
    )
