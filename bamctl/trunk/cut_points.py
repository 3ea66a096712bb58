"""`Trunk`: the cut points of a network, the stages that they form, and the bottlenecks.

A cut point is a feature map that every path through the trunk passes, and that a module returns.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from bamctl.errors import InputError, did_you_mean, shown
from bamctl.tracing.trace import Item
from bamctl.trunk.feature_maps import FeatureMap


@dataclass(frozen=True)
class CutPoint:
    """A feature map that a module returns.

    `module` is the outermost module that returns it, as `item` of its result if it returns more;
    `aliases` are all modules that return it. `position` orders the points as the forward pass does.
    `block` is the block that ends here, if any; it is `repeatable` if its only input and its output
    have one shape. `reduction` is the output stride.
    """

    module: str
    aliases: tuple[str, ...]
    position: int
    block: str | None
    repeatable: bool
    map: FeatureMap
    reduction: int
    item: Item = None


@dataclass(frozen=True)
class Stage:
    """A run of cut points of one resolution; `bottleneck` is the one before the next drop.

    `is_extra_level` marks a level for large objects that a detector adds to a backbone without
    blocks, beyond the output stride at which backbones end.
    """

    points: tuple[CutPoint, ...]
    is_stem: bool
    is_last: bool
    bottleneck: CutPoint | None
    is_extra_level: bool = False

    @property
    def blocks(self) -> tuple[CutPoint, ...]:
        """The points that end a block."""
        return tuple(point for point in self.points if point.block)

    @property
    def end(self) -> CutPoint:
        """The last block's point, or the last point of a stage without blocks."""
        return (self.blocks or self.points)[-1]


@dataclass(frozen=True)
class Part:
    """The submodule that does a network's downsampling, and its stages.

    `module` is "" where that is the network itself.
    """

    module: str
    stages: tuple[Stage, ...]

    @property
    def points(self) -> tuple[CutPoint, ...]:
        """The points of all stages, in the order of the forward pass."""
        return tuple(point for stage in self.stages for point in stage.points)

    @property
    def bottlenecks(self) -> tuple[CutPoint, ...]:
        """The bottleneck of every stage that has one."""
        return tuple(stage.bottleneck for stage in self.stages if stage.bottleneck)


@dataclass(frozen=True)
class Trunk:
    """The cut points of a network in the order of its forward pass, by parts and stages.

    Most networks are one part. A detector's trunk is its backbone; an optical flow network has two
    parts, an encoder for the pair of images and one for the context.

    `side_points` are the feature maps off the trunk, by the module that returns them; `num_calls`
    is the number of calls of each module in one forward pass. `branches` are the ends of the
    blocks' residual branches, and `without_branch` the blocks that have none, with the reason.
    `levels` are the maps that the heads of a pyramid read, and `hidden_levels` those of them that
    no module returns.
    """

    parts: tuple[Part, ...]
    side_points: dict[str, CutPoint]
    num_calls: dict[str, int]
    branches: tuple[CutPoint, ...] = ()
    without_branch: dict[str, str] = field(default_factory=dict)
    levels: tuple[CutPoint, ...] = ()
    hidden_levels: tuple[FeatureMap, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of every part."""
        return tuple(stage for part in self.parts for stage in part.stages)

    @cached_property
    def points(self) -> tuple[CutPoint, ...]:
        """The cut points of every part."""
        return tuple(point for part in self.parts for point in part.points)

    @cached_property
    def blocks(self) -> tuple[CutPoint, ...]:
        """The points that end a block."""
        return tuple(point for point in self.points if point.block)

    @cached_property
    def _by_alias(self) -> dict[str, CutPoint]:
        return {name: point for point in self.points for name in point.aliases}

    def bottlenecks(self, stages: int | Literal["all"] = 3) -> tuple[CutPoint, ...]:
        """Return the deepest bottlenecks of each part; three by default (figure 1 of the paper)."""
        deepest = slice(None) if stages == "all" else slice(-stages, None)
        return tuple(point for part in self.parts for point in part.bottlenecks[deepest])

    def point(self, module: str) -> CutPoint:
        """Return the feature map that a module returns, on the trunk or off it.

        Raises:
            InputError: the module does not exist, does not run exactly once, or does not return
                one feature map.
        """
        if module not in self.num_calls or not module:
            near = did_you_mean(module, self.num_calls) or "; `bamctl analyze --format csv` has all"
            raise InputError(f"no module {shown(module)} in the network{near}")
        if self.num_calls[module] != 1:
            times = f"{self.num_calls[module]} times" if self.num_calls[module] else "never"
            raise InputError(f"module {module!r} is called {times} in a forward pass, not once")
        found = self._by_alias.get(module) or self.side_points.get(module)
        if found is None:
            raise InputError(f"module {module!r} does not return one feature map")
        return found
