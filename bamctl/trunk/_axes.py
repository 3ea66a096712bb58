"""Axes of traced values: time, height, width, or something else.

Every axis is a list of factors, outermost first. A reshape splits and joins factors, a permutation
moves them, a convolution resizes them, and most operators keep them. So a row of patches in image
order is the axis (height, width), a window of Swin has the outer factors of height and width in its
batch axis and the inner ones in its token axis, and shuffled patches are recognized by the order of
their factors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

SPATIAL = ("t", "h", "w")
OTHER, UNKNOWN, SHUFFLED, TOKENS = "other", "unknown", "shuffled", "tokens"


@dataclass(frozen=True)
class Factor:
    """A factor of an axis.

    `name` is one of `SPATIAL`, `OTHER`, `UNKNOWN`, `SHUFFLED` or `TOKENS`. `step` is the stride of
    the factor within a spatial axis that is split, in positions of the whole axis. Tokens behind
    prefix tokens, such as a class token, are one factor: `prefix` tokens, then those of the `grid`.
    """

    name: str
    size: int
    step: int = 1
    grid: tuple["Factor", ...] = ()
    prefix: int = 0

    @property
    def is_spatial(self) -> bool:
        """Return whether positions along it are positions in the image."""
        return self.name in SPATIAL or self.name == TOKENS


Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]


def merged(axis: Axis) -> Axis:
    """Return an axis with adjacent factors of one axis of the image joined."""
    factors: list[Factor] = []
    for factor in axis:
        outer = factors[-1] if factors else None
        joins = (
            outer is not None
            and outer.name == factor.name
            and (not factor.is_spatial or outer.step == factor.size * factor.step)
            and factor.name != TOKENS
        )
        if outer is not None and joins:
            factors[-1] = replace(outer, size=outer.size * factor.size, step=factor.step)
        else:
            factors.append(factor)
    return tuple(factors)


def resized(axis: Axis, size: int) -> Axis:
    """Return an axis resized: shrunk, enlarged, or without its prefix tokens."""
    axis = merged(axis)
    if len(axis) == 1 and axis[0].name in SPATIAL:
        return (replace(axis[0], size=size),)
    if len(axis) == 1 and axis[0].name == TOKENS and size == axis[0].size - axis[0].prefix:
        return axis[0].grid
    if any(factor.is_spatial or factor.name == SHUFFLED for factor in axis) and size > 1:
        return (Factor(SHUFFLED, size),)
    return (Factor(OTHER, size),)


def knowledge(axis: Axis) -> int:
    """Return a rank of how specific an axis is; among operands, the highest decides."""
    ranks = {UNKNOWN: 1, OTHER: 2, SHUFFLED: 3}
    return max((ranks.get(factor.name, 4) for factor in axis), default=0)


def restepped(axes: Axes) -> Axes:
    """Recompute the steps, innermost first, after a factor was resized or reduced away."""
    steps: dict[tuple[str, int], int] = {}
    factors = [factor for axis in axes for factor in axis if factor.name in SPATIAL]
    keys = [(factor.name, factor.step) for factor in factors]
    if len(set(keys)) < len(keys) or all(factor.step == 1 for factor in factors):
        return axes
    reached = dict.fromkeys(SPATIAL, 1)
    for factor in sorted(factors, key=lambda factor: factor.step):
        steps[factor.name, factor.step] = reached[factor.name]
        reached[factor.name] *= factor.size
    return tuple(
        tuple(
            replace(factor, step=steps[factor.name, factor.step])
            if factor.name in SPATIAL
            else factor
            for factor in axis
        )
        for axis in axes
    )


def spatial_names(axis: Axis) -> Iterator[str]:
    """Yield the names of the axes of the image whose factors an axis contains."""
    for factor in axis:
        yield from (inner.name for inner in (factor.grid or (factor,)) if inner.name in SPATIAL)
