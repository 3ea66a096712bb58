"""An analysis as a report: stages, strategies, conventions."""

from collections.abc import Iterable, Sequence
from typing import Any

from bamctl import units
from bamctl.analysis.analyze import Analysis
from bamctl.attention.kinds import kind_of
from bamctl.networks import inputs
from bamctl.placement.cost import Cost, PlacementCost
from bamctl.report._wording import (
    CONVENTION,
    SCHEMA,
    attention_data,
    cost_data,
    estimate_error,
    extents_data,
    fraction,
    left_out,
    no_cut_point,
    nothing_to_place,
    overhead_data,
    settings,
)
from bamctl.report.chart import Chart, NetworkSketch
from bamctl.report.charts.analysis import cost_charts
from bamctl.report.charts.network import network_sketch, sketch_line
from bamctl.report.document import Column, Report, Table
from bamctl.timing.placed import AddedLatency
from bamctl.trunk.cut_points import CutPoint, Stage


def analysis_report(
    analysis: Analysis, *, explain: bool, latency: AddedLatency | None = None
) -> Report:
    """Stages, then strategies, then the conventions of the numbers."""
    network = network_sketch(analysis.trunk, analysis.strategies["bottleneck"])
    blocks: list[Table | str]
    charts: list[Chart]
    if analysis.trunk.points:
        blocks = [_sketch(network), *_tables(analysis, explain, latency), *_remarks(analysis)]
        charts = [network, *cost_charts(analysis)]
    else:
        blocks, charts = [no_cut_point(analysis.model, analysis.trunk)], []
    blocks.append(_footnote(analysis))
    if latency is not None:
        blocks.append(_latency_text(latency))
    records = [_point_data(analysis, point, latency) for point in analysis.trunk.points]
    data = _analysis_data(analysis, records)
    if latency is not None:
        _add_latency(data, latency)
    return Report(_heading(analysis), blocks, data, records, charts=charts)


def _tables(
    analysis: Analysis, explain: bool, latency: AddedLatency | None
) -> Iterable[Table | str]:
    yield _stage_table(analysis, latency)
    if explain:
        reasons = enumerate(_reasons(analysis), 1)
        yield "\n".join(f"stage {number}: {reason}" for number, reason in reasons)
    yield _strategy_table(analysis, latency)


def _heading(analysis: Analysis) -> str:
    trace = analysis.trace
    return (
        f"{analysis.model}   {inputs.text(trace.given)}   "
        f"{units.count(trace.params)} parameters   {units.macs(trace.macs[''])}"
    )


def _sketch(network: NetworkSketch) -> str:
    is_marked = any(stage.sites for stage in network.stages)
    marks = "; ◆ bottleneck" if is_marked else ""
    return f"{sketch_line(network)}   one bar a block, as high as its maps{marks}"


def _stage_table(analysis: Analysis, latency: AddedLatency | None) -> Table:
    columns = [
        Column("stage", "right"),
        Column("side", "right"),
        Column("channels", "right"),
        Column("stride", "right"),
        Column("blocks", "right"),
        Column("ends with"),
        Column("role"),
        Column(f"{kind_of(analysis.attention).noun} here adds", "right"),
        Column("", "right"),
        *_latency_columns(latency),
    ]
    rows, chosen = [], analysis.trunk.bottlenecks(analysis.stages)
    for number, stage in enumerate(analysis.trunk.stages, 1):
        at, cost = stage.end.map, analysis.point_costs[stage.end.module]
        side = str(at.height) if at.height == at.width else f"{at.height}x{at.width}"
        rows.append(
            [
                str(number),
                side,
                str(at.num_channels),
                str(stage.end.reduction),
                str(len(stage.blocks)),
                stage.end.module,
                _role(stage, analysis),
                *(_added(cost) if not stage.is_stem else ("", "")),
                *(_latency_cells(latency, [] if stage.is_stem else [stage.end.module])),
            ]
        )
    emphasized = {i for i, stage in enumerate(analysis.trunk.stages) if stage.bottleneck in chosen}
    return Table(columns, rows, frozenset(emphasized))


def _added(cost: Cost | str) -> tuple[str, str]:
    if isinstance(cost, str):
        return ("not possible", "")
    return f"{units.count(cost.params)} params", units.macs(cost.macs)


def _latency_columns(latency: AddedLatency | None) -> list[Column]:
    return [Column("latency", "right")] if latency else []


def _latency_cells(latency: AddedLatency | None, modules: Sequence[str]) -> list[str]:
    """What modules add to the time of a batch, in a cell if there is a column for it."""
    if latency is None:
        return []
    known = [latency.sites[name] for name in modules if name in latency.sites]
    return [f"+{units.duration(sum(known))}" if known else ""]


def _latency_text(latency: AddedLatency) -> str:
    what = (
        f"Latency: of a batch of {latency.batch_size}, beside the network's own "
        f"{units.duration(latency.base_seconds)}."
    )
    if latency.profile is not None:
        return f"{what} {estimate_error(latency.profile)}"
    return (
        f"{what} Measured on {latency.device} ({latency.device_name}), each module alone; "
        "`bamctl latency` times whole networks, with an interval."
    )


def _role(stage: Stage, analysis: Analysis) -> str:
    if stage.bottleneck:
        chosen = stage.bottleneck in analysis.trunk.bottlenecks(analysis.stages)
        return "bottleneck" if chosen else "shallow bottleneck"
    if stage.is_stem:
        return "stem"
    if stage.is_extra_level:
        return "extra level"
    return "last stage" if stage.is_last else "no block"


def _reasons(analysis: Analysis) -> Iterable[str]:
    chosen = analysis.trunk.bottlenecks(analysis.stages)
    for part in analysis.trunk.parts:
        for number, stage in enumerate(part.stages, 1):
            yield _reason(stage, part.stages[number : number + 1], chosen)


def _reason(stage: Stage, following: Sequence[Stage], chosen: Sequence[CutPoint]) -> str:
    if stage.is_stem:
        return "stem, since no block ends in it or before it"
    if not following:
        return "no bottleneck, since no stage of lower resolution follows"
    if stage.is_extra_level:
        return "no bottleneck, since the backbone ends before it, and this is a level for detection"
    if stage.bottleneck is None:
        return "no bottleneck, since no block ends in it"
    here, there = stage.end.map, following[0].points[0].map
    what = "its last block" if stage.blocks else "its last trunk map (the network has no blocks)"
    drop = f"{here.height}x{here.width} drops to {there.height}x{there.width} after it"
    text = f"{stage.bottleneck.module} is a bottleneck: {what}, and {drop}"
    return text if stage.bottleneck in chosen else f"{text}; --stages all takes it too"


def _strategy_table(analysis: Analysis, latency: AddedLatency | None) -> Table:
    columns = [
        Column("strategy"),
        Column("sites", "right"),
        Column("parameters", "right"),
        Column("", "right"),
        Column("MACs", "right"),
        Column("", "right"),
        Column("elementwise", "right"),
        Column("memory", "right"),
        *_latency_columns(latency),
    ]
    rows = []
    for name, placed in analysis.strategies.items():
        added = placed.total
        cells = [
            f"+{units.count(added.params)}",
            units.percent(fraction(added.params, analysis.trace.params)),
            f"+{units.count(added.macs)}",
            units.percent(fraction(added.macs, analysis.trace.macs[""])),
            f"+{units.count(added.elementwise_ops)}",
            f"+{units.size(added.memory_bytes)}",
            *_latency_cells(latency, placed.modules),
        ]
        shown = cells if placed.sites else ["-"] * len(cells)
        rows.append([name, str(len(placed.sites)), *shown])
    return Table(columns, rows)


def _remarks(analysis: Analysis) -> Iterable[str]:
    """What the tables cannot say: why a strategy is empty, and what to do instead."""
    placed = analysis.strategies.values()
    unavailable = next((each.unavailable for each in placed if each.unavailable), None)
    if unavailable:
        yield f"Not possible: {unavailable}."
    elif not all(each.sites for each in placed):
        yield nothing_to_place(analysis.model, analysis.trunk)
    parts = [part.module for part in analysis.trunk.parts if part.module]
    if parts:
        yield (
            f"The trunk is {' and '.join(parts)}; strides are those from its own input. Modules "
            "outside of it get attention only where --where names them."
        )
    if analysis.trace.is_detector:
        yield (
            "The work of a detector's heads is data-dependent: the network's MACs are those of one "
            "image of zeros, and untrained weights. What attention adds does not depend on it."
        )
    if any(point.map.layout.spatial_axes == 3 for point in analysis.trunk.points):
        yield (
            "This network is for video: the module's convolutions are 3-D and dilated in space "
            "only, and its channel branch averages over time and space."
        )
    if any(point.map.layout.name == "tokens" for point in analysis.trunk.points):
        yield (
            "This network works on tokens: the module puts the patches back on their grid, and the "
            "class token passes unchanged."
        )


def _footnote(analysis: Analysis) -> str:
    own = units.count(analysis.trace.elementwise_ops[""])
    return (
        f"{settings(analysis.attention)}.\n{CONVENTION} The network's own elementwise operations: "
        f"{own}. {left_out(analysis.trace.uncounted)}"
    )


def _analysis_data(analysis: Analysis, points: list[dict[str, Any]]) -> dict[str, Any]:
    trace = analysis.trace
    return {
        "schema": SCHEMA,
        "model": analysis.model,
        "input_shape": list(trace.input_shape),
        "params": trace.params,
        "macs": trace.macs[""],
        "elementwise_ops": trace.elementwise_ops[""],
        "macs_by_operator": trace.macs_by_operator,
        "uncounted_operators": trace.uncounted,
        "attention": attention_data(analysis.attention),
        "stages": [
            _stage_data(analysis, stage, number, reason)
            for number, (stage, reason) in enumerate(
                zip(analysis.trunk.stages, _reasons(analysis), strict=True), 1
            )
        ],
        "points": points,
        "placements": {
            name: _placement_data(placed, analysis) for name, placed in analysis.strategies.items()
        },
        "convention": CONVENTION,
    }


def _add_latency(data: dict[str, Any], latency: AddedLatency) -> None:
    for placed in data["placements"].values():
        known = [latency.sites.get(name, 0.0) for name in placed["modules"]]
        placed["added_latency_ms"] = 1e3 * sum(known)
    data["latency"] = {
        "device": latency.device,
        "device_name": latency.device_name,
        "estimated": latency.profile is not None,
        "batch_size": latency.batch_size,
        "base_ms": 1e3 * latency.base_seconds,
    }


def _stage_data(analysis: Analysis, stage: Stage, number: int, reason: str) -> dict[str, Any]:
    at = stage.end.map
    return {
        "stage": number,
        "module": stage.end.module,
        "num_channels": at.num_channels,
        **extents_data(at),
        "reduction": stage.end.reduction,
        "num_blocks": len(stage.blocks),
        "role": _role(stage, analysis),
        "reason": reason,
    }


def _point_data(
    analysis: Analysis, point: CutPoint, latency: AddedLatency | None
) -> dict[str, Any]:
    cost = analysis.point_costs[point.module]
    return {
        "module": point.module,
        "kind": _kind(point, analysis),
        "num_channels": point.map.num_channels,
        **extents_data(point.map),
        "reduction": point.reduction,
        "layout": point.map.layout.name,
        "stage": next(i for i, s in enumerate(analysis.trunk.stages, 1) if point in s.points),
        **cost_data(cost),
        **({"added_latency_ms": _site_ms(point, latency)} if latency else {}),
    }


def _site_ms(point: CutPoint, latency: AddedLatency) -> float | None:
    seconds = latency.sites.get(point.module)
    return None if seconds is None else 1e3 * seconds


def _kind(point: CutPoint, analysis: Analysis) -> str:
    if point in analysis.trunk.bottlenecks("all"):
        return "bottleneck"
    if point.block:
        return "block"
    in_stem = any(stage.is_stem and point in stage.points for stage in analysis.trunk.stages)
    return "stem" if in_stem else "other"


def _placement_data(placed: PlacementCost, analysis: Analysis) -> dict[str, Any]:
    return {
        "modules": placed.modules,
        **cost_data(placed.unavailable or placed.total),
        **overhead_data(placed, analysis.trace),
    }
