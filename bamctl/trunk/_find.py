"""The trunk of a network, found from its trace; no network is known by name.

The trunk is the part that does the downsampling. It is found in these steps:

1. The image is the first input with height and width, and the feature maps are the traced values
   that keep both. Shrunk copies of the image that later stages take are cut from the graph, since
   no map behind them would lie on every path.
2. Candidates: the path from the image to the output, and the path through each submodule that
   shrinks its input about as much as the whole network does. A detector's preprocessing hides the
   path from the image but not its backbone, and networks that compare images have two encoders.
3. A candidate's cut points are the dominators of its deepest output which a module returns and
   which carry weights. A global pooling and what follows it are the head, and are dropped.
4. Runs of cut points of one resolution are stages: a side that shrinks 1.5-fold starts the next, a
   cropped margin does not. The last block of a stage that another one follows is its bottleneck.
5. Kept are the candidates that shrink their input the most and share no points. One without
   bottlenecks, or without blocks where the network has some, is a stem and no trunk.
6. Last, the path down from the image to the smallest map that a larger one follows. A decoder takes
   a map of every stage (U-Net, feature pyramids), so nothing behind the first of them dominates the
   output. This path replaces the candidates where it has more bottlenecks than each of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from bamctl.tracing.trace import ModuleCall, Trace
from bamctl.trunk._blocks import STAGE_DROP, is_composite
from bamctl.trunk._dataflow import Dominators, depths, pooled, without_injections, without_keys
from bamctl.trunk._points import PointFinder
from bamctl.trunk._stages import stages, without_head
from bamctl.trunk.cut_points import Part, Trunk
from bamctl.trunk.feature_maps import feature_maps


def find_trunk(model: nn.Module, trace: Trace) -> Trunk:
    """Find the cut points of a traced network, its blocks, its stages and its bottlenecks."""
    return _Search(model, trace).trunk()


@dataclass(frozen=True)
class _Found:
    """A candidate for the trunk, and the factor by which it shrinks the height of its input."""

    part: Part
    shrinkage: float


class _Search:
    """Search for the trunk of one traced network; the module describes its steps."""

    def __init__(self, model: nn.Module, trace: Trace) -> None:
        self._model = model
        self._trace = trace
        self._maps = feature_maps(trace)
        self._image = self._find_image()
        self._operators = without_injections(trace, self._image, self._maps)
        self._finder = PointFinder(model, trace, self._operators, self._maps)

    def trunk(self) -> Trunk:
        parts = tuple(self._parts())
        on_trunk = {name for part in parts for point in part.points for name in point.aliases}
        ends, without = self._finder.branches([p for part in parts for p in part.points])
        levels, hidden = self._finder.levels()
        return Trunk(
            parts=parts,
            side_points={
                each.module: self._finder.point(value, None, self._height)
                for value, returns in self._finder.returned.items()
                for each in returns
                if each.module not in on_trunk
            },
            num_calls={
                name: self._finder.num_calls[name] for name, _ in self._model.named_modules()
            },
            branches=tuple(self._finder.point(value, None, self._height) for value in ends),
            without_branch=without,
            levels=tuple(self._finder.point(value, None, self._height) for value in levels),
            hidden_levels=tuple(self._maps[value] for value in hidden),
        )

    def _find_image(self) -> int:
        """Return the image: the first input with height and width."""
        shapes = {value: self._trace.shapes.get(value, ()) for value in self._trace.inputs}
        images = (value for value, shape in shapes.items() if len(shape) >= 3)
        return next(images, self._trace.inputs[0])

    def _parts(self) -> list[Part]:
        """Return the best candidates, or the path down if that has more bottlenecks."""
        whole = self._found("", self._image, self._trace.outputs, self._height)
        submodules = [each for each in self._submodules(whole) if _is_worth_it(each, whole)]
        parts = list(self._shrinking_most(whole, submodules))
        most = max((len(part.bottlenecks) for part in parts), default=0)
        down = self._way_down()
        if down is not None and len(down.bottlenecks) > most:
            return [down]
        return parts

    def _shrinking_most(self, whole: _Found, submodules: list[_Found]) -> Iterator[Part]:
        most = max(found.shrinkage for found in (*submodules, whole))
        if self._answers_with_a_map:
            # The head consists of maps too, which do not belong to the trunk.
            ordered = [*submodules, whole]
        else:
            # Where side outputs leave a submodule, more of it lies on the path to its main output.
            ordered = sorted([whole, *submodules], key=lambda found: -len(found.part.points))
        return _apart(found.part for found in ordered if found.shrinkage * STAGE_DROP > most)

    def _submodules(self, whole: _Found) -> Iterator[_Found]:
        """Yield submodules that may shrink their input as much as the network does, inner first."""
        least = max(whole.shrinkage / STAGE_DROP, STAGE_DROP)
        for call in self._finder.own_calls():
            source = call.input
            is_composite = next(self._model.get_submodule(call.module).children(), None)
            if is_composite is None or source is None or source not in self._maps:
                continue
            height = self._maps[source].height
            if height / self._least_height(call) > least:
                yield self._found(call.module, source, call.outputs, height)

    def _least_height(self, call: ModuleCall) -> int:
        """Return the height of the smallest map that a module returns."""
        maps = (value for value in call.outputs if value in self._maps)
        unpooled = (self._maps[value].height for value in maps if value not in self._pooled)
        return min(unpooled, default=1)

    @cached_property
    def _height(self) -> int:
        """Height of the image."""
        shape = self._trace.shapes.get(self._image, ())
        known = self._maps.get(self._image)
        return known.height if known else (shape[-2] if len(shape) >= 3 else 1)

    @cached_property
    def _pooled(self) -> set[int]:
        return pooled(self._trace.operators, self._maps)

    @cached_property
    def _answers_with_a_map(self) -> bool:
        depth = depths(self._operators, self._image)
        answers = [value for value in self._trace.outputs if value in depth]
        if not answers:
            return False
        deepest = max(answers, key=depth.__getitem__)
        return deepest in self._maps and deepest not in self._pooled

    def _way_down(self) -> Part | None:
        """Return the path from the image to a small map that has the most bottlenecks."""
        parts = [
            self._found("", self._image, [value], self._height, to_last_block=True).part
            for value in self._smallest_maps()
        ]
        return max(parts, key=lambda part: len(part.bottlenecks), default=None)

    def _smallest_maps(self) -> Iterator[int]:
        """Yield for each resolution the map behind which most modules end, smallest first."""
        chains = Dominators(self._operators, self._image)
        reached = depths(self._operators, self._image)
        way = without_keys(self._operators, self._image, self._trace.outputs)
        by_size: dict[int, list[int]] = {}
        after = self._largest_after()
        for value in self._finder.returned:
            num_pixels = self._maps[value].num_pixels
            # A decoder upsamples: a larger map follows, and by more than a margin of padding.
            is_before_larger = after.get(value, 0) >= STAGE_DROP * num_pixels
            if value in reached and value in way and is_before_larger:
                by_size.setdefault(num_pixels, []).append(value)
        for _, values in sorted(by_size.items()):
            yield max(values, key=lambda value: self._num_ended(chains.chain(value)))

    def _largest_after(self) -> dict[int, int]:
        """Return the pixels of the largest map computed from each value, without pooled context."""
        largest: dict[int, int] = {}
        for operator in reversed(self._operators):
            sizes = [self._maps[v].num_pixels for v in operator.outputs if v in self._maps]
            most = max((*sizes, *(largest.get(v, 0) for v in operator.outputs)), default=0)
            for value in operator.inputs:
                if value not in self._pooled:
                    largest[value] = max(largest.get(value, 0), most)
        return largest

    def _num_ended(self, chain: Iterable[int]) -> tuple[int, int, int]:
        """Return the number of composite modules that end on a chain, its cut points and its depth.

        The first decides: a branch inside a block may have many cut points, but ends no block.
        """
        points = [value for value in chain if self._finder.is_point(value)]
        ended = [
            each
            for value in points
            for each in self._finder.returned[value]
            if is_composite(self._model.get_submodule(each.module))
        ]
        return len(ended), len(points), max(map(self._finder.position, points), default=-1)

    def _found(
        self,
        module: str,
        source: int,
        targets: Iterable[int],
        height: int,
        *,
        to_last_block: bool = False,
    ) -> _Found:
        """Return the part between a value and the deepest reachable one of its targets.

        Args:
            module: the name of the submodule, or "" for the network.
            source: the value where the part starts.
            targets: the values where it may end.
            height: height of the map at its start.
            to_last_block: end with the last stage that has a block on the path, if there is one. A
                neck adds levels below its backbone, without blocks or with blocks that join levels.
        """
        depth = depths(self._operators, source)
        reached = [value for value in targets if value in depth]
        if not reached:
            return _Found(Part(module, ()), 1.0)
        target = max(reached, key=depth.__getitem__)
        chain = Dominators(self._operators, source).chain(target)
        points = self._finder.points(
            [value for value in chain if self._finder.is_point(value)], height
        )
        points = without_head(points, self._trace, self._model)
        is_pyramid = to_last_block or sum(1 for value in reached if value in self._maps) > 1
        course = self._finder.course(points, target, reached, is_pyramid=is_pyramid)
        kept = tuple(stages(list(points.values()), course))
        if to_last_block:
            fed = {
                call.module
                for call in self._finder.own_calls()
                if {source, *chain} >= {*call.taken}
            }
            ends = [i for i, stage in enumerate(kept) if fed & {p.block for p in stage.blocks}]
            ended = [point for stage in kept[: max(ends, default=-2) + 1] for point in stage.points]
            kept = tuple(stages(ended, course)) if ends else kept
        heights = [point.map.height for stage in kept for point in stage.points]
        return _Found(Part(module, kept), height / min(heights, default=height))


def _is_worth_it(found: _Found, whole: _Found) -> bool:
    """Return whether a submodule is more than a stem, which contains no blocks."""
    has_blocks, needs_blocks = (
        any(point.block for point in each.part.points) for each in (found, whole)
    )
    return bool(found.part.bottlenecks) and (has_blocks or not needs_blocks)


def _apart(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield parts that share no cut points; of those that do, only the first."""
    taken: set[str] = set()
    for part in parts:
        names = {point.module for point in part.points}
        if names and taken.isdisjoint(names):
            taken |= names
            yield part
