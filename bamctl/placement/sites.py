"""Sites of a placement: the cut points that it selects, each with its settings."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from bamctl.attention.kind import Site
from bamctl.attention.kinds import kind_of, of_kind, overridden
from bamctl.attention.settings import Settings
from bamctl.errors import InputError, shown
from bamctl.placement.patterns import split
from bamctl.placement.placement import Placement
from bamctl.trunk.cut_points import CutPoint, Trunk
from bamctl.trunk.strategies import STRATEGIES

__all__ = ["Site", "named", "resolve"]


def resolve(placement: Placement, trunk: Trunk) -> tuple[Site, ...]:
    """Return the sites of a placement in a network, in the order of its forward pass.

    The result may be empty: a network that never downsamples has no bottleneck.

    Raises:
        InputError: a module does not exist, is not called exactly once, does not return a feature
            map, or is overridden without being selected; or no block can be repeated there.
    """
    points: dict[str, CutPoint] = {}
    modules: dict[str, list[Settings]] = {}
    for pattern in placement.patterns():
        where, kind = split(pattern)
        settings = of_kind(placement.attention, kind)
        for point in _points(where, placement, trunk):
            points[point.module] = point
            chosen = modules.setdefault(point.module, [])
            if settings not in chosen:
                chosen.append(settings)
    modules |= _insertions(placement, modules, trunk)
    ordered = sorted(points.values(), key=lambda point: point.position)
    return tuple(
        replace(kind_of(settings).fit(point, settings, trunk), rank=rank)
        for point in ordered
        for rank, settings in enumerate(modules[point.module])
    )


def named(placement: Placement, sites: tuple[Site, ...]) -> Placement:
    """Return a placement with explicit sites, independent of bamctl's trunk finding."""
    modules: dict[str, list[Settings]] = {}
    for site in sites:
        modules.setdefault(site.point.module, []).append(site.attention)
    return placement.with_sites(
        {name: tuple(own) if len(own) > 1 else own[0] for name, own in modules.items()}
    )


def _insertions(
    placement: Placement, modules: dict[str, list[Settings]], trunk: Trunk
) -> dict[str, list[Settings]]:
    """Return the settings of the modules at the sites that `insertions` lists."""
    found: dict[str, list[Settings]] = {}
    for name, own in placement.insertions.items():
        module = trunk.point(name).module
        if module in found:
            raise _of_insertions(f"{name!r} is an alias of a site that is also listed")
        if module not in modules:
            raise _of_insertions(f"{module!r} is not selected by 'where'; add it there")
        if isinstance(own, tuple):
            found[module] = [_overridden(placement.attention, each) for each in own]
        elif len(modules[module]) > 1:
            raise _of_insertions(f"{module!r} has {len(modules[module])} modules; list them")
        else:
            found[module] = [_overridden(modules[module][0], own)]
    return found


def _overridden(settings: Settings, own: Settings) -> Settings:
    try:
        return overridden(settings, own)
    except InputError as error:
        raise _of_insertions(str(error)) from error


def _of_insertions(message: str) -> InputError:
    return InputError(f"insertions: {message}", key="insertions")


def _points(pattern: str, placement: Placement, trunk: Trunk) -> Iterator[CutPoint]:
    if pattern in STRATEGIES:
        yield from STRATEGIES[pattern].points(trunk, placement.stages)
    elif any(character in pattern for character in "*?["):
        matching = _matching(pattern, trunk.points) or _matching(
            pattern, trunk.side_points.values()
        )
        if not matching:
            raise InputError(
                f"no module that returns a feature map matches {shown(pattern)}; see `bamctl "
                "analyze --format csv`"
            )
        yield from matching
    else:
        yield trunk.point(pattern)


def left_out(placement: Placement, trunk: Trunk) -> list[str]:
    """Return what the strategies of a placement leave out in a network, and why, in sentences."""
    named = dict.fromkeys(split(pattern)[0] for pattern in placement.patterns())
    chosen = (STRATEGIES[name] for name in named if name in STRATEGIES)
    return [text for strategy in chosen for text in strategy.left_out(trunk)]


def _matching(pattern: str, points: Iterable[CutPoint]) -> list[CutPoint]:
    return [p for p in points if any(fnmatchcase(alias, pattern) for alias in p.aliases)]
