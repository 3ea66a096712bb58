"""Latency as a report: measured or estimated times, with their intervals."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from bamctl import units
from bamctl.networks import inputs
from bamctl.report._wording import SCHEMA, estimate_error, fraction, nothing_to_place, settings
from bamctl.report.charts.latency import estimated_charts, measured_charts
from bamctl.report.charts.network import network_sketch
from bamctl.report.document import Column, Report, Table
from bamctl.timing.latency import LatencyResult
from bamctl.timing.measure import WIDE, Latency, Spread
from bamctl.timing.placed import Intervals, LatencyEstimate


def latency_view(result: LatencyResult) -> Report:
    """Show latencies, whether they are measured or estimated."""
    batches = result.batches
    if isinstance(batches[0], LatencyEstimate):
        estimates = cast("Sequence[LatencyEstimate]", batches)
        return estimate_report(result, estimates, per_site=result.per_site)
    return latency_report(result, cast("Sequence[Latency]", batches))


def latency_report(on: LatencyResult, measured: Sequence[Latency]) -> Report:
    """Show what was measured, for every size of batch."""
    blocks: list[Table | str] = [_times(measured), _ratios(measured)]
    if measured[0].sites:
        blocks.append(
            _sites([(each.batch_size, each.base.median_seconds, each.sites) for each in measured])
        )
    blocks += [text for each in measured if (text := _inconclusive(each))]
    blocks += _placed(on)
    blocks.append(_how(measured[0]))
    batches = [_measured_data(each) for each in measured]
    data = _data(on, measured[0].setup.device, batches, is_estimated=False)
    data |= {
        "device_name": measured[0].device_name,
        "clock_mhz": measured[0].clock_mhz,
        "threads": measured[0].threads,
        "setup": asdict(measured[0].setup),
        "versions": measured[0].versions,
    }
    heading = _heading(on, f"measured on {measured[0].device_name}")
    charts = [*measured_charts(measured), network_sketch(on.subject.trunk, on.placed)]
    return Report(heading, blocks, data, batches, charts=charts, answer=blocks[1:2])


def estimate_report(
    on: LatencyResult, estimates: Sequence[LatencyEstimate], *, per_site: bool
) -> Report:
    """Show what was estimated, for every size of batch."""
    profile = estimates[0].profile
    columns = [
        Column("batch", "right"),
        Column("without", "right"),
        Column("90 %", "right"),
        Column("with", "right"),
        Column("90 %", "right"),
        Column("added", "right"),
        Column("ratio", "right"),
        Column("90 %", "right"),
        Column("of which launches", "right"),
    ]
    rows = [
        [
            str(each.batch_size),
            units.duration(each.base_seconds),
            _times_text(each, "base_seconds"),
            units.duration(each.modified_seconds),
            _times_text(each, "modified_seconds"),
            f"+{units.duration(each.added_seconds)}",
            f"{each.ratio:.3f}",
            ratio_text(each),
            units.share(each.launch_fraction),
        ]
        for each in estimates
    ]
    blocks: list[Table | str] = [Table(columns, rows)]
    if per_site:
        blocks.append(
            _sites([(each.batch_size, each.base_seconds, each.sites) for each in estimates])
        )
    blocks += [*_placed(on), estimate_error(profile)]
    batches = [_estimated_data(each) for each in estimates]
    data = _data(on, profile.name, batches, is_estimated=True)
    data |= {"profile": profile.model_dump(mode="json", by_alias=True)}
    heading = _heading(on, f"estimated for {profile.name}")
    charts = [*estimated_charts(estimates), network_sketch(on.subject.trunk, on.placed)]
    return Report(heading, blocks, data, batches, charts=charts, answer=blocks[:1])


def _times_text(found: LatencyEstimate, name: str) -> str:
    if found.intervals is None:
        return ""
    return " - ".join(map(units.duration, getattr(found.intervals, name)))


def ratio_text(found: LatencyEstimate) -> str:
    """Format the interval of an estimated ratio; an empty string without one."""
    return "" if found.intervals is None else "{:.3f} - {:.3f}".format(*found.intervals.ratio)


def _heading(on: LatencyResult, how: str) -> str:
    return f"{on.placement.model}   {inputs.text(on.subject.trace.given)}   {how}"


def _times(measured: Sequence[Latency]) -> Table:
    columns = [
        Column("batch", "right"),
        Column("network"),
        Column("median", "right"),
        Column("25 - 75 %", "right"),
        Column("p90", "right"),
        Column("p99", "right"),
        Column("peak memory", "right"),
    ]
    rows = [
        [str(each.batch_size), name, *_spread_cells(spread), units.size(peak) if peak else "-"]
        for each in measured
        for name, spread, peak in (
            ("without", each.base, each.base_peak_bytes),
            ("with attention", each.modified, each.modified_peak_bytes),
        )
    ]
    return Table(columns, rows)


def _spread_cells(spread: Spread) -> list[str]:
    middle = f"{units.duration(spread.q25_seconds)} - {units.duration(spread.q75_seconds)}"
    return [
        units.duration(spread.median_seconds),
        middle,
        units.duration(spread.p90_seconds),
        units.duration(spread.p99_seconds),
    ]


def _ratios(measured: Sequence[Latency]) -> Table:
    columns = [
        Column("batch", "right"),
        Column("ratio", "right"),
        Column("95 % interval", "right"),
        Column("rounds", "right"),
        Column("verdict"),
    ]
    rows = [
        [
            str(each.batch_size),
            f"{each.ratio:.3f}",
            "{:.3f} to {:.3f}".format(*each.ratio_ci95),
            str(len(each.base_seconds)),
            each.verdict,
        ]
        for each in measured
    ]
    return Table(columns, rows)


def _sites(batches: Sequence[tuple[int, float, dict[str, float]]]) -> Table:
    columns = [
        Column("batch", "right"),
        Column("module at"),
        Column("alone", "right"),
        Column("of all modules", "right"),
        Column("of the network", "right"),
    ]
    rows = [
        [
            str(batch_size),
            name,
            units.duration(seconds),
            units.share(fraction(seconds, sum(sites.values()))),
            units.share(fraction(seconds, base_seconds)),
        ]
        for batch_size, base_seconds, sites in batches
        for name, seconds in sites.items()
    ]
    return Table(columns, rows)


def _inconclusive(measured: Latency) -> str | None:
    if measured.verdict != "inconclusive":
        return None
    low, high = measured.ratio_ci95
    return (
        f"Batch {measured.batch_size} is inconclusive: the interval contains 1.000 and is "
        f"{units.share(high - low)} wide ({units.share(WIDE)} would suffice). The times vary too "
        f"much for {measured.seconds:.1f} s; try --min-seconds {measured.seconds_to_tell}, or a "
        "less busy machine."
    )


def _placed(on: LatencyResult) -> list[str]:
    if not on.placed.sites:
        return [f"Nothing inserted. {nothing_to_place(str(on.placement.model), on.subject.trunk)}"]
    kinds = dict.fromkeys(settings(site.attention) for site in on.placed.sites)
    where = ", ".join(on.placed.modules)
    return [f"{'; '.join(kinds)}.\nInserted after: {where}."]


def _how(measured: Latency) -> str:
    setup = measured.setup
    what = "a training step, forward and backward" if setup.train else "the forward pass"
    given = [setup.dtype, setup.memory_format, f"{measured.threads} threads"]
    given += [name for name in ("fuse", "compile", "cuda_graph") if getattr(setup, name)]
    clock = f" at {measured.clock_mhz} MHz" if measured.clock_mhz else ""
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    return (
        f"Times of {what}, for one batch; {', '.join(given)}; {setup.device}: "
        f"{measured.device_name}{clock}; {versions}. Both networks in turn in one process, "
        f"about {measured.seconds:.0f} s for each batch size. The ratio is the mean over rounds, "
        "round by round, without the fifth at either end; its interval is by bootstrap."
    )


def _data(
    on: LatencyResult, device: str, batches: list[dict[str, Any]], *, is_estimated: bool
) -> dict[str, Any]:
    first = batches[0]
    return {
        "schema": SCHEMA,
        "model": on.placement.model,
        "input_shape": list(on.subject.trace.input_shape),
        "modules": on.placed.modules,
        "device": device,
        "estimated": is_estimated,
        # The values of the smallest batch; all are under `batches`.
        **{
            key: first[key]
            for key in ("batch_size", "base_ms", "modified_ms", "ratio", "ratio_ci95")
        },
        "batches": batches,
    }


def _measured_data(measured: Latency) -> dict[str, Any]:
    return {
        "batch_size": measured.batch_size,
        "base_ms": 1e3 * measured.base.median_seconds,
        "modified_ms": 1e3 * measured.modified.median_seconds,
        "ratio": measured.ratio,
        "ratio_ci95": list(measured.ratio_ci95),
        "verdict": measured.verdict,
        "num_rounds": len(measured.base_seconds),
        "seconds": measured.seconds,
        **_spread_data("base", measured.base),
        **_spread_data("modified", measured.modified),
        "base_peak_memory_bytes": measured.base_peak_bytes,
        "modified_peak_memory_bytes": measured.modified_peak_bytes,
        "sites": _sites_data(measured.sites),
    }


def _estimated_data(found: LatencyEstimate) -> dict[str, Any]:
    return {
        "batch_size": found.batch_size,
        "base_ms": 1e3 * found.base_seconds,
        "modified_ms": 1e3 * found.modified_seconds,
        "ratio": found.ratio,
        # An estimate has no sampling error; its uncertainty is in the keys that end in `_90`.
        "ratio_ci95": None,
        **_interval_data(found.intervals),
        "launch_fraction": found.launch_fraction,
        "base_ms_by_kind": _in_ms(found.base_kinds),
        "added_ms_by_kind": _in_ms(found.added_kinds),
        "num_base_kernels": found.num_base_kernels,
        "num_added_kernels": found.num_added_kernels,
        "sites": _sites_data(found.sites),
    }


def _interval_data(found: Intervals | None) -> dict[str, list[float] | None]:
    if found is None:
        return dict.fromkeys(("base_ms_90", "modified_ms_90", "ratio_90"))
    return {
        "base_ms_90": [1e3 * seconds for seconds in found.base_seconds],
        "modified_ms_90": [1e3 * seconds for seconds in found.modified_seconds],
        "ratio_90": list(found.ratio),
    }


def _sites_data(sites: dict[str, float]) -> list[dict[str, Any]]:
    whole = sum(sites.values())
    return [
        {"module": name, "latency_ms": 1e3 * seconds, "share": fraction(seconds, whole)}
        for name, seconds in sites.items()
    ]


def _spread_data(network: str, spread: Spread) -> dict[str, float]:
    times = asdict(spread).items()
    return {f"{network}_{name.replace('_seconds', '_ms')}": 1e3 * value for name, value in times}


def _in_ms(kinds: dict[str, float]) -> dict[str, float]:
    return {kind: 1e3 * seconds for kind, seconds in kinds.items()}
