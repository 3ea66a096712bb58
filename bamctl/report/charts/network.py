"""Charts of a network, with the sites of a placement marked."""

from collections.abc import Mapping
from math import log2

from bamctl import units
from bamctl.placement.cost import Cost, PlacementCost
from bamctl.report.chart import NetworkSketch, StageSketch
from bamctl.trunk.cut_points import Stage, Trunk

_BARS, _SITE = "▁▂▃▄▅▆▇█", "◆"


def sketch_line(network: NetworkSketch) -> str:
    """Format a network in a line: a bar for each block, as high as its maps, and marked sites.

    >>> stage = StageSketch("stage 1", "8x8", 8, 4, ["a", "b"], {"b": "+17 parameters"})
    >>> sketch_line(NetworkSketch("", "", [stage]))
    '██◆'
    """
    tallest = max((stage.height for stage in network.stages), default=1)
    return " ".join(
        "".join(_bar(stage.height, tallest) + _SITE * (cell in stage.sites) for cell in stage.cells)
        for stage in network.stages
    )


def _bar(height: int, tallest: int) -> str:
    return _BARS[round((len(_BARS) - 1) * log2(height + 1) / log2(tallest + 1))]


def network_sketch(
    trunk: Trunk, placed: PlacementCost, title: str = "The network, stage by stage"
) -> NetworkSketch:
    """Return the stages of a network, with the sites of a placement and their costs."""
    sites: dict[str, str] = {}
    for site, cost in zip(placed.sites, placed.costs, strict=True):
        name, text = site.point.module, cost_text(cost)
        sites[name] = f"{sites[name]}; {text}" if name in sites else text
    where = ", ".join(sites) or "nowhere"
    return NetworkSketch(
        title=title,
        text=(
            "Each cell is a block, as wide as it has channels and as high as its maps, by "
            f"logarithms. Attention is at: {where}."
        ),
        stages=[_stage(number, each, sites) for number, each in enumerate(trunk.stages, 1)],
    )


def _stage(number: int, stage: Stage, sites: Mapping[str, str]) -> StageSketch:
    at = stage.end.map
    points = stage.blocks or (stage.end,)
    cells = list(dict.fromkeys(point.module for point in points))
    outside = [p.module for p in stage.points if p.module in sites and p.module not in cells]
    return StageSketch(
        title=f"stage {number}",
        side=units.shape(tuple(at.extents)),
        height=at.height,
        num_channels=at.num_channels,
        cells=[*cells, *outside],
        sites={name: sites[name] for name in (*cells, *outside) if name in sites},
    )


def cost_text(cost: Cost) -> str:
    """Format the cost that a module adds."""
    return f"+{units.count(cost.params)} parameters, +{units.macs(cost.macs)}"
