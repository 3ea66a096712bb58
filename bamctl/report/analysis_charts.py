"""A network as a picture, and what attention would cost at each of its points."""

from collections.abc import Iterable, Mapping
from math import log2

from bamctl import units
from bamctl.analysis import Analysis
from bamctl.cost import Cost, PlacementCost
from bamctl.cut_points import Stage, Trunk
from bamctl.feature_maps import FeatureMap
from bamctl.report.charts import Axis, Chart, NetworkSketch, Plot, Point, Series, StageSketch

_BARS, _SITE = "▁▂▃▄▅▆▇█", "◆"


def sketch_line(network: NetworkSketch) -> str:
    """A network in a line: a bar for each block, as high as its maps, and its sites marked.

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


def network_sketch(trunk: Trunk, placed: PlacementCost) -> NetworkSketch:
    """The stages of a network, with the sites of a placement and their costs."""
    sites = dict(zip(placed.modules, map(_cost, placed.costs), strict=True))
    where = ", ".join(sites) or "nowhere"
    return NetworkSketch(
        title="The network, stage by stage",
        text=(
            "Each cell is a block, as wide as it has channels and as high as its maps, by "
            f"logarithms. Attention is at: {where}."
        ),
        stages=[_stage(number, each, sites) for number, each in enumerate(trunk.stages, 1)],
    )


def _stage(number: int, stage: Stage, sites: Mapping[str, str]) -> StageSketch:
    at = stage.end.map
    points = stage.blocks or (stage.end,)
    cells = list(dict.fromkeys([*(point.module for point in points)]))
    outside = [p.module for p in stage.points if p.module in sites and p.module not in cells]
    return StageSketch(
        title=f"stage {number}",
        side=_side(at),
        height=at.height,
        num_channels=at.num_channels,
        cells=[*cells, *outside],
        sites={name: sites[name] for name in (*cells, *outside) if name in sites},
    )


def _side(at: FeatureMap) -> str:
    return units.shape(tuple(at.extents))


def _cost(cost: Cost) -> str:
    return f"+{units.count(cost.params)} parameters, +{units.macs(cost.macs)}"


def cost_charts(analysis: Analysis) -> list[Chart]:
    """What a module costs at each point, where there is a point for one."""
    bottlenecks = {point.module for point in analysis.trunk.bottlenecks("all")}
    blocks = {point.module for point in analysis.trunk.blocks}
    named = (("block", blocks - bottlenecks), ("bottleneck", bottlenecks))
    series = [Series(name, found) for name, wanted in named if (found := _points(analysis, wanted))]
    if not series:
        return []
    return [
        Plot(
            title="What attention costs at each point",
            text="One module at each point, for one image. Early points cost memory and time, "
            "late ones parameters.",
            x=Axis("added MACs", is_log=True),
            y=Axis("added parameters", is_log=True),
            series=series,
        )
    ]


def _points(analysis: Analysis, wanted: Iterable[str]) -> list[Point]:
    names = set(wanted)
    return [
        Point(cost.macs, cost.params, f"{module}\n{_cost(cost)}")
        for module, cost in analysis.point_costs.items()
        if module in names and isinstance(cost, Cost)
    ]
