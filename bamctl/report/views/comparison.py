"""Latency of several placements beside each other, in one table and one picture."""

from collections.abc import Sequence
from typing import Any

from bamctl import units
from bamctl.networks import inputs
from bamctl.report._wording import SCHEMA, estimate_error
from bamctl.report.chart import Axis, Plot, Point, Series
from bamctl.report.document import Column, Report, Table
from bamctl.timing.comparison import LatencyComparison, Timing
from bamctl.timing.measure import Latency


def comparison_view(result: LatencyComparison) -> Report:
    """Show the time of each placement beside that of the unmodified network."""
    timings = result.timings
    records = [_record(each) for each in timings]
    first = timings[0].found
    is_measured = isinstance(first, Latency)
    how = f"measured on {first.device_name}" if isinstance(first, Latency) else "estimated"
    data = {
        "schema": SCHEMA,
        "model": result.model,
        "input_shape": list(result.subject.trace.input_shape),
        "estimated": not is_measured,
        "rows": records,
    }
    blocks: list[Table | str] = [_table(timings), _where(result), *_how(timings)]
    heading = f"{result.model}   {inputs.text(result.subject.trace.given)}   {how}"
    return Report(heading, blocks, data, records, charts=[_plot(timings)])


def _table(timings: Sequence[Timing]) -> Table:
    is_measured = isinstance(timings[0].found, Latency)
    columns = [
        Column("device"),
        Column("batch", "right"),
        Column("placement"),
        Column("sites", "right"),
        Column("without", "right"),
        Column("with", "right"),
        Column("ratio", "right"),
        Column("95 % interval" if is_measured else "90 % interval", "right"),
        *([Column("verdict")] if is_measured else []),
    ]
    return Table(columns, [_row(each) for each in timings])


def _row(timing: Timing) -> list[str]:
    record, interval = _record(timing), _interval(timing)
    return [
        timing.device,
        str(timing.batch_size),
        timing.variant.name,
        str(len(timing.variant.placed.sites)),
        units.duration(record["base_ms"] / 1e3),
        units.duration(record["modified_ms"] / 1e3),
        f"{record['ratio']:.3f}",
        "" if interval is None else "{:.3f} to {:.3f}".format(*interval),
        *([record["verdict"]] if isinstance(timing.found, Latency) else []),
    ]


def _interval(timing: Timing) -> tuple[float, float] | None:
    """Return the interval of the ratio: 95 % of a measured one, 90 % of an estimated one."""
    if isinstance(timing.found, Latency):
        return timing.found.ratio_ci95
    return timing.found.intervals.ratio if timing.found.intervals else None


def _record(timing: Timing) -> dict[str, Any]:
    found, interval = timing.found, _interval(timing)
    bounds = None if interval is None else list(interval)
    if isinstance(found, Latency):
        base, modified = found.base.median_seconds, found.modified.median_seconds
        sure = {"ratio_ci95": bounds, "ratio_90": None, "verdict": found.verdict}
    else:
        base, modified = found.base_seconds, found.modified_seconds
        sure = {"ratio_ci95": None, "ratio_90": bounds, "verdict": None}
    return {
        "device": timing.device,
        "placement": timing.variant.name,
        "modules": timing.variant.placed.modules,
        "batch_size": timing.batch_size,
        "base_ms": 1e3 * base,
        "modified_ms": 1e3 * modified,
        "ratio": found.ratio,
        **sure,
    }


def _where(result: LatencyComparison) -> str:
    return "\n".join(
        f"{each.name}: after {', '.join(each.placed.modules) or 'nothing'}."
        for each in result.variants
    )


def _how(timings: Sequence[Timing]) -> list[str]:
    first = timings[0].found
    if isinstance(first, Latency):
        return [
            f"All networks in turn in one process, about {first.seconds:.0f} s for each batch "
            "size. A ratio is the mean over rounds, round by round beside the unmodified network; "
            "its interval is by bootstrap."
        ]
    profiles = {each.device: each.found for each in timings}
    return [
        estimate_error(own.profile) for own in profiles.values() if not isinstance(own, Latency)
    ]


def _plot(timings: Sequence[Timing]) -> Plot:
    """Return the ratios with their intervals, a series for each device and batch size."""
    groups: dict[str, list[Point]] = {}
    is_one = len({(each.device, each.batch_size) for each in timings}) == 1
    for each in timings:
        group = f"{each.device}, batch {each.batch_size}"
        # Rows of their own, since intervals on one row would hide each other.
        row = each.variant.name if is_one else f"{each.variant.name}, {group}"
        low, high = _interval(each) or (None, None)
        text = f"{row}: {each.found.ratio:.3f} times the unmodified network's"
        groups.setdefault(group, []).append(Point(each.found.ratio, row, text, low, high))
    return Plot(
        title="Time with attention",
        text="As a multiple of the unmodified network's time, with its interval.",
        x=Axis("ratio"),
        y=Axis(""),
        series=[Series(name, points) for name, points in groups.items()],
        marks=(1.0,),
    )
