"""`bamctl analyze`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bamctl.cli.commands.sensitivity import SensitivityOptions, take_apart
from bamctl.cli.commands.sweep import SweepOptions, sweep
from bamctl.cli.messages import working
from bamctl.cli.options.declare import flag, option
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import ModelName, NetworkOptions, given_placement
from bamctl.cli.options.trust import allow_named
from bamctl.errors import InputError

if TYPE_CHECKING:
    from bamctl.analysis.analyze import Analysis
    from bamctl.timing.placed import AddedLatency
    from bamctl.trunk.traced import TracedNetwork


def analyze(
    model: ModelName = "",
    *,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each stage is a bottleneck or is not.")
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
    from bamctl.networks.models import check_name, names

    out.check()
    allow_named(model)
    figures = {"--explain": explain, "--latency": latency, "--known": known}
    many.check(model, {**figures, "--sensitivity": sensitivity.sensitivity})
    for name, value in (("--device", device), ("--batch-size", batch_size)):
        if value is not None and not latency:
            raise InputError(f"{name} requires --latency")
    sensitivity.check(figures)
    if many.all:
        return sweep(many, given_placement(network, attention), out)
    check_name(model)
    if sensitivity.sensitivity:
        return take_apart(model, sensitivity, attention, network, out)
    wanted = given_placement(network, attention, model=model)

    entry = None
    known = known or out.format == "html"
    chosen = attention.given().get("module") and wanted.attention.module
    if not no_cache and not latency and model in names() and not wanted.factories():
        # Cache builders only; the result of a user-defined factory may change between calls.
        from bamctl.cli import cache

        entry = cache.key(wanted, explain=explain, known=(known, chosen))
        if (cached := cache.read(entry)) is not None:
            out.show(cached)
            return 0
    with working(f"tracing {model}"):
        from bamctl.analysis.analyze import analyze_network
        from bamctl.analysis.known import published
        from bamctl.networks.memory import give_back_at_once
        from bamctl.report.views.analysis import analysis_report
        from bamctl.trunk.traced import TracedNetwork

        if not latency:
            give_back_at_once()
        traced = TracedNetwork.load(wanted, initialize=latency)
        found = analyze_network(model, traced, wanted)
        added = _added(found, traced, device, batch_size or 1) if latency else None
        results = published(model, chosen) if known else None
        report = analysis_report(found, explain=explain, latency=added, known=results)
    if entry is not None:
        cache.write(entry, report)
    out.show(report)
    return 0


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
