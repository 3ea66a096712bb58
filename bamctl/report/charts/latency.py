"""Charts of latency: distributions of times, and the sites that cause them."""

from collections.abc import Mapping, Sequence

from bamctl import units
from bamctl.report.chart import Axis, Bar, Bars, Chart, Distributions, Sample
from bamctl.timing.measure import Latency
from bamctl.timing.placed import LatencyEstimate


def measured_charts(measured: Sequence[Latency]) -> list[Chart]:
    """Return charts of times for every batch size, and of each module alone if requested."""
    found: list[Chart] = [_times(each) for each in measured]
    return found + [_sites(each.batch_size, each.sites) for each in measured if each.sites]


def estimated_charts(estimates: Sequence[LatencyEstimate]) -> list[Chart]:
    """Return charts of the time that each module adds, and of each type of kernel."""
    found: list[Chart] = [_sites(each.batch_size, each.sites) for each in estimates if each.sites]
    return found + [_kinds(each) for each in estimates]


def _times(measured: Latency) -> Distributions:
    low, high = measured.ratio_ci95
    return Distributions(
        title=f"Times of a batch of {measured.batch_size}",
        text=(
            f"{len(measured.base_seconds)} rounds on {measured.device_name}. With attention a "
            f"batch takes {measured.ratio:.3f} times as long, 95 % interval {low:.3f} to "
            f"{high:.3f}: {measured.verdict}."
        ),
        axis=Axis("milliseconds"),
        samples=[
            Sample("without", _milliseconds(measured.base_seconds)),
            Sample("with attention", _milliseconds(measured.modified_seconds)),
        ],
    )


def _sites(batch_size: int, sites: Mapping[str, float]) -> Bars:
    return Bars(
        title=f"Time of each module, batch {batch_size}",
        text="Of each attention module alone, in the order of the network.",
        axis=Axis("milliseconds"),
        bars=_bars(sites),
    )


def _kinds(estimate: LatencyEstimate) -> Bars:
    profile = estimate.profile
    parts = {
        **{f"{kind}, the network's own": each for kind, each in estimate.base_kinds.items()},
        **{f"{kind}, added": each for kind, each in estimate.added_kinds.items()},
    }
    return Bars(
        title=f"Where the time goes, batch {estimate.batch_size}",
        text=f"Estimated for {profile.name}, by kind of kernel.",
        axis=Axis("milliseconds"),
        bars=_bars(parts),
    )


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [1e3 * each for each in seconds]


def _bars(seconds: Mapping[str, float]) -> list[Bar]:
    return [Bar(name, 1e3 * each, units.duration(each)) for name, each in seconds.items()]
