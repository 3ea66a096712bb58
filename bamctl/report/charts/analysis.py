"""Charts of an analysis: the cost of attention at each point of a network."""

from collections.abc import Iterable

from bamctl.analysis.analyze import Analysis
from bamctl.placement.cost import Cost
from bamctl.report.chart import Axis, Chart, Plot, Point, Series
from bamctl.report.charts.network import cost_text


def cost_charts(analysis: Analysis) -> list[Chart]:
    """Return a chart of the cost of a module at each point, if there are any."""
    bottlenecks = {point.module for point in analysis.trunk.bottlenecks("all")}
    blocks = {point.module for point in analysis.trunk.blocks}
    named = (("block", blocks - bottlenecks), ("bottleneck", bottlenecks))
    series = [Series(name, found) for name, wanted in named if (found := _points(analysis, wanted))]
    if not series:
        return []
    return [
        Plot(
            title="Cost of attention at each point",
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
        Point(cost.macs, cost.params, f"{module}\n{cost_text(cost)}")
        for module, cost in analysis.point_costs.items()
        if module in names and isinstance(cost, Cost)
    ]
