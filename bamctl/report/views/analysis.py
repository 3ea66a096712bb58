"""An analysis as a report: stages, strategies, conventions."""

from collections.abc import Iterable, Sequence

from bamctl import units
from bamctl.analysis.analyze import Analysis
from bamctl.analysis.known import PublishedResult
from bamctl.attention.kinds import kind_of
from bamctl.networks import inputs
from bamctl.placement.cost import Cost
from bamctl.report._wording import (
    CONVENTION,
    CONVENTION_LINE,
    estimate_error,
    fraction,
    layout_remarks,
    left_out,
    no_cut_point,
    nothing_to_place,
    settings,
)
from bamctl.report.chart import Chart, Designer, NetworkSketch
from bamctl.report.charts.analysis import cost_charts
from bamctl.report.charts.network import network_sketch, sketch_line
from bamctl.report.document import Column, Report, Table
from bamctl.report.views._analysis_data import (
    add_latency,
    analysis_data,
    point_data,
    reasons,
    role,
)
from bamctl.report.views._known import known_blocks, known_data
from bamctl.timing.placed import AddedLatency
from bamctl.trunk.strategies import of_paper


def analysis_report(
    analysis: Analysis,
    *,
    explain: bool,
    latency: AddedLatency | None = None,
    known: Sequence[PublishedResult] | None = None,
    design: Designer | None = None,
) -> Report:
    """Show stages, then strategies, then the conventions of the numbers.

    Args:
        analysis: the result to show.
        explain: say why each stage is a bottleneck or is not, and what each figure counts.
        latency: what modules add to the latency of a batch.
        known: published results to show, if any were asked for.
        design: a network to place modules in, for a page.
    """
    network = network_sketch(analysis.trunk, analysis.strategies["bottleneck"])
    blocks: list[Table | str]
    charts: list[Chart]
    if analysis.trunk.points:
        blocks = [_sketch(network), *_tables(analysis, explain, latency), *_remarks(analysis)]
        charts = [design or network, *cost_charts(analysis)]
    else:
        blocks, charts = [no_cut_point(analysis.model, analysis.trunk)], []
    if known is not None:
        blocks += known_blocks(analysis.model, known)
    blocks.append(_footnote(analysis, explain))
    if latency is not None:
        blocks.append(_latency_text(latency))
    records = [point_data(analysis, point, latency) for point in analysis.trunk.points]
    data = analysis_data(analysis, records)
    if known is not None:
        data["known"] = [known_data(each) for each in known]
    if latency is not None:
        add_latency(data, latency)
    answer = [_strategy_table(analysis, latency)] if analysis.trunk.points else blocks[:1]
    return Report(
        _heading(analysis),
        blocks,
        data,
        records,
        charts=charts,
        answer=answer,
        drawn=[_sketch(network)],
    )


def _tables(
    analysis: Analysis, explain: bool, latency: AddedLatency | None
) -> Iterable[Table | str]:
    yield _stage_table(analysis, latency)
    if explain:
        numbered = enumerate(reasons(analysis), 1)
        yield "\n".join(f"stage {number}: {reason}" for number, reason in numbered)
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
                role(stage, analysis),
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
    """Show what modules add to the time of a batch, in a cell if there is a column for it."""
    if latency is None:
        return []
    known = [latency.sites[name] for name in modules if name in latency.sites]
    return [f"+{units.duration(sum(known))}" if known else ""]


def _latency_text(latency: AddedLatency) -> str:
    sure = latency.intervals
    span = "" if sure is None else " - ".join(map(units.duration, sure.base_seconds))
    what = (
        f"Latency: time added to a batch of {latency.batch_size}; the network itself takes "
        f"{units.duration(latency.base_seconds)}{f' (90 %: {span})' if span else ''}."
    )
    if latency.profile is not None:
        return f"{what} {estimate_error(latency.profile)}"
    return (
        f"{what} Measured on {latency.device} ({latency.device_name}), each module alone; "
        "`bamctl latency` times whole networks, with an interval."
    )


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
        if not placed.sites and name not in of_paper():
            continue
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
    """Return remarks on the tables: why a strategy is empty, and what to do instead."""
    yield from (f"Warning: {text}" for text in analysis.warnings)
    placed = [analysis.strategies[name] for name in of_paper()]
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
    yield from layout_remarks(analysis.attention, [p.map.layout for p in analysis.trunk.points])


def _footnote(analysis: Analysis, explain: bool) -> str:
    convention = CONVENTION_LINE
    if explain:
        own = units.count(analysis.trace.elementwise_ops[""])
        convention = f"{CONVENTION} The network's own elementwise operations: {own}."
    return f"{settings(analysis.attention)}.\n{convention} {left_out(analysis.trace.uncounted)}"
