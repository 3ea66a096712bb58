"""Sites of a placement: the cut points that it selects, each with its settings."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from bamctl.attention.kind import Site
from bamctl.attention.kinds import kind_of, overridden
from bamctl.attention.settings import Settings
from bamctl.errors import InputError, shown
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
    selected = {
        point.module: point
        for pattern in placement.patterns()
        for point in _points(pattern, placement, trunk)
    }
    overrides: dict[str, Settings] = {}
    for name, own in placement.insertions.items():
        module = trunk.point(name).module
        if module in overrides:
            raise _of_insertions(f"{name!r} is an alias of a site that is also listed")
        overrides[module] = own
    for module in sorted(overrides.keys() - selected.keys()):
        raise _of_insertions(f"{module!r} is not selected by 'where'; add it there")
    points = sorted(selected.values(), key=lambda point: point.position)
    chosen = [_attention(placement, overrides.get(point.module)) for point in points]
    return tuple(
        kind_of(attention).fit(point, attention, trunk)
        for point, attention in zip(points, chosen, strict=True)
    )


def named(placement: Placement, sites: tuple[Site, ...]) -> Placement:
    """Return a placement with explicit sites, independent of bamctl's trunk finding."""
    return placement.with_sites({site.point.module: site.attention for site in sites})


def _attention(placement: Placement, own: Settings | None) -> Settings:
    try:
        return overridden(placement.attention, own) if own else placement.attention
    except InputError as error:
        raise _of_insertions(str(error)) from error


def _of_insertions(message: str) -> InputError:
    return InputError(f"insertions: {message}", key="insertions")


def _points(pattern: str, placement: Placement, trunk: Trunk) -> Iterator[CutPoint]:
    if pattern in STRATEGIES:
        yield from STRATEGIES[pattern].points(trunk, placement.stages)
    elif any(character in pattern for character in "*?["):
        matching = [p for p in trunk.points if any(fnmatchcase(a, pattern) for a in p.aliases)]
        if not matching:
            raise InputError(
                f"no cut point matches {shown(pattern)}; see `bamctl analyze --format csv`"
            )
        yield from matching
    else:
        yield trunk.point(pattern)
