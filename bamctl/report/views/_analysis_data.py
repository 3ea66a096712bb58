"""An analysis as data, for JSON and CSV, and the role of each stage in words."""

from collections.abc import Iterable, Sequence
from typing import Any

from bamctl.analysis.analyze import Analysis
from bamctl.placement.cost import PlacementCost
from bamctl.report._wording import (
    CONVENTION,
    SCHEMA,
    attention_data,
    cost_data,
    extents_data,
    overhead_data,
)
from bamctl.timing.placed import AddedLatency
from bamctl.trunk.cut_points import CutPoint, Stage


def role(stage: Stage, analysis: Analysis) -> str:
    if stage.bottleneck:
        chosen = stage.bottleneck in analysis.trunk.bottlenecks(analysis.stages)
        return "bottleneck" if chosen else "shallow bottleneck"
    if stage.is_stem:
        return "stem"
    if stage.is_extra_level:
        return "extra level"
    return "last stage" if stage.is_last else "no block"


def reasons(analysis: Analysis) -> Iterable[str]:
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


def analysis_data(analysis: Analysis, points: list[dict[str, Any]]) -> dict[str, Any]:
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
                zip(analysis.trunk.stages, reasons(analysis), strict=True), 1
            )
        ],
        "points": points,
        "placements": {
            name: _placement_data(placed, analysis) for name, placed in analysis.strategies.items()
        },
        "warnings": list(analysis.warnings),
        "convention": CONVENTION,
    }


def add_latency(data: dict[str, Any], latency: AddedLatency) -> None:
    for placed in data["placements"].values():
        known = [latency.sites.get(name, 0.0) for name in placed["modules"]]
        placed["added_latency_ms"] = 1e3 * sum(known)
    sure = latency.intervals
    data["latency"] = {
        "device": latency.device,
        "device_name": latency.device_name,
        "estimated": latency.profile is not None,
        "batch_size": latency.batch_size,
        "base_ms": 1e3 * latency.base_seconds,
        "base_ms_90": sure and [1e3 * seconds for seconds in sure.base_seconds],
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
        "role": role(stage, analysis),
        "reason": reason,
    }


def point_data(analysis: Analysis, point: CutPoint, latency: AddedLatency | None) -> dict[str, Any]:
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
