"""BAM as a kind of attention module; torch is not loaded."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from bamctl.attention.bam.cost import bam_cost
from bamctl.attention.bam.settings import BamSettings
from bamctl.attention.cost import Cost
from bamctl.attention.kind import (
    AttentionKind,
    Cheaper,
    GateMaps,
    Site,
    with_doubled_reduction,
)
from bamctl.attention.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bamctl.attention.bam.module import BAM
    from bamctl.trunk.cut_points import CutPoint
    from bamctl.trunk.traced import TracedNetwork


class Bam(AttentionKind):
    """BAM (Park et al., BMVC 2018), as printed and as released."""

    settings = BamSettings
    summary = "the Bottleneck Attention Module"
    noun = "a BAM"
    on_video = (
        "the module's convolutions are 3-D and dilated in space only, and its channel branch "
        "averages over time and space"
    )

    def layer(self) -> "type[BAM]":
        """Return `BAM`."""
        from bamctl.attention.bam.module import BAM

        return BAM

    def cost(self, site: Site, traced: "TracedNetwork") -> Cost:
        """Return the cost in closed form, by `bam_cost`."""
        at, width = site.point.map, traced.trace.dtype.itemsize
        cost = bam_cost(at, **site.attention.hyperparameters(), bytes_per_element=width)
        return cost.for_batch(at.batch)

    def same(self, settings: Settings, point: "CutPoint") -> Hashable:
        """Return a key that is equal for settings with the same effect at a cut point.

        Reductions with the same number of hidden channels are equivalent, and so are dilations
        beyond the map's sides, which reach only padding; a missing branch has no hyperparameters.
        """
        values = settings.hyperparameters()
        hidden = max(point.map.num_channels // values["reduction"], 1)
        branches = values["branches"]
        reach = None if branches == "channel" else min(values["dilation"], max(point.map.extents))
        combine = values["combine"] if branches == "both" else None
        return values["variant"], hidden, branches, reach, combine

    def cheaper(self, site: Site) -> Cheaper | None:
        """Return the settings with the reduction ratio doubled, while the hidden layers shrink."""
        return with_doubled_reduction(site)

    def warning(self, site: Site, enlarged: int = 1) -> str | None:
        """Warn of dilated convolutions that see nothing but padding beside their centre.

        That is so where the dilation is at least the map's height and width. Up to half of the
        longer side, every pixel sees another one.
        """
        given, at = site.attention.hyperparameters(), site.point.map
        side, d = enlarged * max(at.height, at.width), given["dilation"]
        is_blind = d >= side and at.extents[:-2] in ((), (1,))
        if given["branches"] == "channel" or not given["dilated_convs"] or not is_blind:
            return None
        reaching = max(side // 2, 1)
        cure = f"; with --dilation {reaching} each pixel sees others" if side > 1 else ""
        return (
            f"on maps of {at.height}x{at.width} the dilated convolutions (d={d}) see nothing but "
            f"padding beside their centre{cure}"
        )

    def describe(self, settings: Settings) -> str:
        """Return the variant and every hyperparameter, in one line."""
        values = settings.hyperparameters()
        return (
            f"BAM, {values['variant']} variant: r={values['reduction']}, d={values['dilation']}, "
            f"{values['dilated_convs']} dilated convolutions, branches {values['branches']}, "
            f"combine {values['combine']}, init {values['init']}"
        )

    def short(self, settings: Settings) -> str:
        """Return the hyperparameters that have an effect."""
        values = settings.hyperparameters()
        words = [] if values["variant"] == "paper" else [values["variant"]]
        words.append(f"r={values['reduction']}")
        if values["branches"] != "channel":
            words.append(f"d={values['dilation']}")
        is_both = values["branches"] == "both"
        words.append(values["combine"] if is_both else f"{values['branches']} only")
        return " ".join(words)

    def source_modules(self) -> tuple[str, ...]:
        """Return the modules of the layers and of the autograd functions, and that of `BAM`."""
        helpers = (f"bamctl.attention.{each}" for each in ("layers", "_tails", "_lean"))
        return (*helpers, *super().source_modules())

    def maps(self, module: "nn.Module", x: "Tensor") -> GateMaps:
        """Return the branches and the gate of a `BAM`."""
        from bamctl.attention.bam.maps import gate_maps

        return gate_maps(module, x)
