"""`bamctl analyze`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from bamctl.cli.commands.sensitivity import SensitivityOptions, take_apart
from bamctl.cli.commands.sweep import SweepOptions, sweep
from bamctl.cli.messages import working
from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.project import of_project
from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import (
    ModelName,
    NetworkOptions,
    PlacementName,
    given_placement,
    wanted_placement,
)
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.errors import InputError

if TYPE_CHECKING:
    from bamctl.analysis.analyze import Analysis
    from bamctl.analysis.palette import Palette
    from bamctl.placement.placement import Placement
    from bamctl.report.chart import Designer
    from bamctl.report.document import Report
    from bamctl.timing.placed import AddedLatency
    from bamctl.trunk.traced import TracedNetwork

# The device that a page estimates latencies for.
_DEVICE = "rtx4090"


def analyze(
    model: ModelName = "",
    *,
    placement: PlacementName = None,
    trust: Trust = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Say why each stage is a bottleneck or is not, and what each figure counts.",
        ),
    ] = False,
    latency: Annotated[
        bool, flag("--latency", "Add what each module would add to the latency of a batch.")
    ] = False,
    device: Annotated[
        str | None,
        option(
            "With --latency: cpu, cuda or mps to time modules there, or a GPU's name or profile to "
            "estimate them. [cuda where there is one]"
        ),
    ] = None,
    batch_size: Annotated[
        int | None, option("With --latency: images in a batch. [1]", min=1)
    ] = None,
    known: Annotated[
        bool,
        flag("--known", "Add published results for the network, of --module or of every module."),
    ] = False,
    no_cache: Annotated[bool, flag("--no-cache", "Do not use cached results.")] = False,
    many: SweepOptions,
    sensitivity: SensitivityOptions,
    attention: AttentionOptions,
    network: NetworkOptions,
    out: OutputOptions,
) -> int:
    """Show a network's stages and bottlenecks, and what attention would cost there."""
    from bamctl.networks.models import check_name

    out.check()
    allow_named(model, trust)
    figures = {"--explain": explain, "--latency": latency, "--known": known}
    others = {**figures, "--sensitivity": sensitivity.sensitivity}
    where = sensitivity.where
    if placement is not None:
        many.refuse_with("--placement")
        wanted = wanted_placement("analyze", model, placement, None, attention, network)
        model = str(wanted.model)
    elif not many.all:
        model, network, where = of_project(model, network, where)
        sensitivity = sensitivity.of_project(where)
    many.check(model, others)
    _refuse_without(latency, {"--device": device, "--batch-size": batch_size})
    sensitivity.check({**figures, "--placement": placement})
    if many.all:
        return sweep(many, given_placement(network, attention), out)
    check_name(model)
    if sensitivity.sensitivity:
        return take_apart(model, sensitivity, attention, network, out)
    if placement is None:
        wanted = given_placement(network, attention, where, model=model)
    chosen = attention.given().get("module") and wanted.attention.module
    shown = _Shown(explain, latency, known or out.format == "html", out.format == "html", chosen)
    out.show(_cached(wanted, shown, device, batch_size or 1, use=not no_cache))
    return 0


@dataclass(frozen=True)
class _Shown:
    """What the report is to show."""

    explain: bool
    latency: bool
    known: bool
    is_page: bool
    module: str | None


def _refuse_without(latency: bool, others: Mapping[str, object]) -> None:
    for name, value in others.items():
        if value is not None and not latency:
            raise InputError(f"{name} requires --latency")


def _cached(
    wanted: "Placement", shown: _Shown, device: str | None, batch_size: int, *, use: bool
) -> "Report":
    """Return the report, from the cache for a builder whose code cannot change between calls."""
    from bamctl.cli import cache
    from bamctl.networks.models import names

    if not use or shown.latency or wanted.model not in names() or wanted.factories():
        return _report(wanted, shown, device, batch_size)
    entry = cache.key(
        wanted, explain=shown.explain, known=(shown.known, shown.module, shown.is_page)
    )
    report = cache.read(entry)
    if report is None:
        report = _report(wanted, shown, device, batch_size)
        cache.write(entry, report)
    return report


def _report(wanted: "Placement", shown: _Shown, device: str | None, batch_size: int) -> "Report":
    model = str(wanted.model)
    with working(f"tracing {model}"):
        from bamctl.analysis.analyze import analyze_network
        from bamctl.analysis.known import published
        from bamctl.processes.allocator import give_back_at_once
        from bamctl.report.views.analysis import analysis_report
        from bamctl.trunk.traced import TracedNetwork

        if not shown.latency:
            give_back_at_once()
        traced = TracedNetwork.load(wanted, initialize=shown.latency)
        found = analyze_network(model, traced, wanted)
        added = _added(found, traced, device, batch_size) if shown.latency else None
        return analysis_report(
            found,
            explain=shown.explain,
            latency=added,
            known=published(model, shown.module) if shown.known else None,
            design=_design(traced, wanted, added) if shown.is_page else None,
        )


def _design(
    traced: "TracedNetwork", wanted: "Placement", latency: "AddedLatency | None"
) -> "Designer | None":
    """Return the network to place modules in, beginning with the placement's sites."""
    from bamctl.analysis.palette import palette
    from bamctl.placement.sites import resolve
    from bamctl.report.charts.designer import designer

    if not traced.trunk.points:
        return None
    sites = resolve(wanted, traced.trunk)
    for site in sites:
        if site.rank:
            raise InputError(
                f"the page has one module for each site, and {site.point.module} has several"
            )
    found = palette(
        traced, [wanted.attention, *(site.attention for site in sites)], stages=wanted.stages
    )
    latency = latency or _estimated(found, wanted)
    return designer(found, wanted.spec, wanted.attention, sites, latency)


def _estimated(found: "Palette", wanted: "Placement") -> "AddedLatency":
    """Return estimates for the first shipped profile, of modules where a strategy selects."""
    from bamctl.attention.kinds import kind_of
    from bamctl.timing.placed import estimated_added
    from bamctl.timing.profiles import find

    kind, traced = kind_of(wanted.attention), found.traced
    points = [each.point for each in found.places if each.strategies and each.costs[kind.name][0]]
    sites = [kind.fit(point, wanted.attention, traced.trunk) for point in points]
    return estimated_added(traced.network, traced.trace, sites, find(_DEVICE), 1)


def _added(
    found: "Analysis", traced: "TracedNetwork", device: str | None, batch_size: int
) -> "AddedLatency":
    from bamctl.analysis.analyze import shown_sites
    from bamctl.timing.measured import measured_added
    from bamctl.timing.placed import estimated_added
    from bamctl.timing.profiles import find, is_measurable
    from bamctl.timing.setup import Setup, default_device

    sites = shown_sites(found)
    if device is not None and not is_measurable(device):
        return estimated_added(traced.network, traced.trace, sites, find(device), batch_size)
    setup = Setup(device=device or default_device())
    return measured_added(traced.network, traced.trace.given, sites, setup, batch_size)
