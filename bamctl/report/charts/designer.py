"""A network to place modules in, as data of a page."""

from collections.abc import Mapping
from typing import Any

from bamctl import units
from bamctl.analysis.palette import Option, Palette, Place
from bamctl.attention.kinds import KINDS, kind_named
from bamctl.attention.settings import Settings
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.cost import Cost
from bamctl.placement.metrics import METRICS
from bamctl.placement.patterns import as_pattern
from bamctl.placement.sites import Site
from bamctl.report.chart import Designer
from bamctl.timing.placed import AddedLatency
from bamctl.trunk.strategies import STRATEGIES

# The metrics that are sums over sites, in the order of a site's costs.
_METRICS = ("params", "macs", "memory")

Costs = dict[str, list[tuple[int, ...] | None]]


def designer(
    found: Palette,
    network: NetworkSpec,
    settings: Settings,
    sites: tuple[Site, ...],
    latency: AddedLatency | None = None,
    trials: Mapping[str, tuple[Site, ...]] | None = None,
) -> Designer:
    """Return a network to place modules in.

    Args:
        found: the places, and what modules cost there.
        network: the network by name.
        settings: those of a module that is placed.
        sites: the placement to begin with.
        latency: what modules of these settings add to the time of a batch, by site.
        trials: other placements to begin with, by name.
    """
    trace, stages = found.traced.trace, found.traced.trunk.stages
    groups: list[Costs] = []
    about = "; latency is approximate" if latency else ""
    begun = dict(trials or {})
    chosen = list(dict.fromkeys(s.attention for own in (sites, *begun.values()) for s in own))
    places = [_place(place, groups) for place in found.places]
    base = (trace.params, trace.macs[""], found.traced.memory_bytes)
    return Designer(
        title="Design a placement",
        text="Each cell is a map that a module can refine; click it, or press Enter on it, to set "
        f"or clear a module there. The figures are those of `bamctl check`{about}.",
        data={
            "network": network.model_dump(mode="json", exclude_defaults=True),
            "kinds": {name: _kind(name, own) for name, own in found.options.items()},
            "stages": [
                {
                    "side": units.shape(tuple(stage.end.map.extents)),
                    "height": stage.end.map.height,
                    "channels": stage.end.map.num_channels,
                }
                for stage in stages
            ],
            "places": places,
            "groups": groups,
            "metrics": [_metric(name, own) for name, own in zip(_METRICS, base, strict=True)],
            "latency": latency and _latency(latency),
            "settings": _settings(settings),
            "chosen": [_settings(each) for each in chosen],
            "presets": [name for name in STRATEGIES if _selects(name, found)],
            "start": _sites(sites, chosen),
            "trials": {name: _sites(own, chosen) for name, own in begun.items()},
        },
    )


def _selects(strategy: str, found: Palette) -> bool:
    return any(strategy in place.strategies for place in found.places)


def _place(place: Place, groups: list[Costs]) -> dict[str, Any]:
    costs = {name: [_cost(each) for each in own] for name, own in place.costs.items()}
    if costs not in groups:
        groups.append(costs)
    at = place.point.map
    return {
        "module": place.point.module,
        "pattern": as_pattern(place.point.module),
        "strategies": place.strategies,
        "is_block": bool(place.point.block),
        "stage": place.stage,
        "map": units.shape((at.num_channels, *at.extents)),
        "group": groups.index(costs),
    }


def _cost(cost: Cost | None) -> tuple[int, ...] | None:
    return None if cost is None else (cost.params, cost.macs, cost.memory_bytes)


def _kind(name: str, options: tuple[Option, ...]) -> dict[str, Any]:
    usual = kind_named(name).usual.model_dump(exclude={"module", "args"})
    return {
        "summary": kind_named(name).summary,
        "is_named": name in KINDS,
        "usual": usual,
        "options": [[each.name, each.choices, each.is_priced] for each in options],
    }


def _metric(name: str, base: int) -> dict[str, Any]:
    metric = METRICS[name]
    scales = {unit: str(scale) for unit, scale in metric.units.items()}
    named = {"name": name, "title": metric.title, "example": metric.example}
    return {**named, "base": base, "units": scales}


def _latency(latency: AddedLatency) -> dict[str, Any]:
    return {
        "device": latency.device_name,
        "batch_size": latency.batch_size,
        "base_ms": 1e3 * latency.base_seconds,
        "added_ms": {name: 1e3 * seconds for name, seconds in latency.sites.items()},
    }


def _settings(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def _sites(sites: tuple[Site, ...], chosen: list[Settings]) -> dict[str, int]:
    return {site.point.module: chosen.index(site.attention) for site in sites}
