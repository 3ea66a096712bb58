"""Charts of an analysis: the cost of attention at each point of a network."""

from collections.abc import Iterator
from itertools import groupby

from bamctl import units
from bamctl.analysis.analyze import Analysis
from bamctl.placement.cost import Cost
from bamctl.report.chart import Chart, CostRow, Costs


def cost_charts(analysis: Analysis) -> list[Chart]:
    """Return a chart of the cost of a module at each block and bottleneck, if there are any."""
    rows = list(_rows(analysis))
    if not rows:
        return []
    return [
        Costs(
            title="Cost of attention at each point",
            text="One module at each point, for one image, in the order of the network. Points "
            "that cost the same share a row; ◆ marks a bottleneck.",
            measures=["parameters", "MACs", "memory"],
            rows=rows,
        )
    ]


def _rows(analysis: Analysis) -> Iterator[CostRow]:
    bottlenecks = {point.module for point in analysis.trunk.bottlenecks("all")}
    shown = bottlenecks | {point.module for point in analysis.trunk.blocks}
    known = [
        (name, cost)
        for name, cost in analysis.point_costs.items()
        if name in shown and isinstance(cost, Cost)
    ]
    for cost, same in groupby(known, key=lambda each: each[1]):
        sites = [name for name, _ in same]
        yield CostRow(
            sites,
            [cost.params, cost.macs, cost.memory_bytes],
            [
                f"+{units.count(cost.params)}",
                f"+{units.macs(cost.macs)}",
                f"+{units.size(cost.memory_bytes)}",
            ],
            is_marked=bool(bottlenecks.intersection(sites)),
        )
