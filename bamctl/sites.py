"""From a placement to sites: the cut points that it selects, each with its hyperparameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bamctl import units
from bamctl.cut_points import CutPoint, Trunk
from bamctl.errors import InputError, shown
from bamctl.hyperparameters import Attention
from bamctl.placement import Placement


@dataclass(frozen=True)
class Site:
    """One insertion: an attention module at a cut point.

    `repeated_block` is the block of the network that an `extra-block` is a copy of.
    """

    point: CutPoint
    attention: Attention
    repeated_block: str | None = None


def resolve(placement: Placement, trunk: Trunk) -> tuple[Site, ...]:
    """The sites of a placement in a network, in the order of its forward pass.

    There may be none: a network that never downsamples has no bottleneck.

    Raises:
        InputError: a name is unknown, is not called exactly once, returns no feature map or is
            overridden without being selected; or no block can be repeated there.
    """
    selected = {
        point.module: point
        for pattern in placement.patterns()
        for point in _points(pattern, placement, trunk)
    }
    overrides: dict[str, Attention] = {}
    for name, own in placement.insertions.items():
        module = trunk.point(name).module
        if module in overrides:
            raise InputError(f"insertions: {name!r} is another name of a site that is there too")
        overrides[module] = own
    for module in sorted(overrides.keys() - selected.keys()):
        raise InputError(f"insertions: {module!r} is not selected by 'where'; add it there")
    points = sorted(selected.values(), key=lambda point: point.position)
    return tuple(
        _site(point, _attention(placement, overrides.get(point.module)), trunk) for point in points
    )


def named(placement: Placement, sites: tuple[Site, ...]) -> Placement:
    """A placement with its sites written out, so that it means them in any version."""
    return placement.with_sites({site.point.module: site.attention for site in sites})


def _attention(placement: Placement, own: Attention | None) -> Attention:
    try:
        return placement.attention.overridden(own) if own else placement.attention
    except InputError as error:
        raise InputError(f"insertions: {error}") from error


def _points(pattern: str, placement: Placement, trunk: Trunk) -> Iterator[CutPoint]:
    if pattern == "bottleneck":
        yield from trunk.bottlenecks(placement.stages)
    elif pattern == "block":
        yield from trunk.blocks
    elif any(character in pattern for character in "*?["):
        matching = [p for p in trunk.points if any(fnmatchcase(a, pattern) for a in p.aliases)]
        if not matching:
            raise InputError(
                f"no cut point matches {shown(pattern)}; see `bamctl analyze --format csv`"
            )
        yield from matching
    else:
        yield trunk.point(pattern)


def _site(point: CutPoint, attention: Attention, trunk: Trunk) -> Site:
    if attention.module != "extra-block":
        return Site(point, attention)
    alike = [block for block in trunk.blocks if block.repeatable and block.map == point.map]
    if not alike:
        raise InputError(
            f"no block can be repeated at {point.module!r}: none of the network's blocks takes and "
            f"returns {units.shape((point.map.num_channels, *point.map.extents))}"
        )
    # The block that ends here or the last one before; failing that, the first one after.
    before = [block for block in alike if block.position <= point.position]
    return Site(point, attention, (before[-1] if before else alike[0]).block)
