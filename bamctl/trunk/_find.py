"""The trunk of a network, found from its trace.

Nothing here knows a network by name. The trunk is the part of the network that does the
downsampling: the network itself where that leads from its input to its answer, and otherwise the
way from the input to the smallest map of the backbone, or the submodule that shrinks its own input
the most.
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
    """A part, and by how much it shrinks the height of its own input."""

    part: Part
    shrinkage: float


class _Search:
    """Looks for the part of a network that does its downsampling, in three ways.

    1. The way from the image to the answer. In a classifier that is the trunk: every block lies on
       it, and the head, which pools, is cut off.
    2. The way through each submodule that shrinks its own input as much as the network does. A
       detector's image processing may hide the way from the image, and its backbone is found all
       the same; networks that compare images have two of them.
    3. The way down, from the image to the smallest map of the backbone. A decoder takes a map of
       every stage, so that nothing behind the first of them lies on every path to the answer.

    The way down is taken where it passes more bottlenecks than the others.
    """

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
        )

    def _find_image(self) -> int:
        """The input that the network looks at: the first one with height and width."""
        shapes = {value: self._trace.shapes.get(value, ()) for value in self._trace.inputs}
        images = (value for value, shape in shapes.items() if len(shape) >= 3)
        return next(images, self._trace.inputs[0])

    def _parts(self) -> list[Part]:
        """The way to the answer or through submodules, or the way down if it has more."""
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
            # Its head is made of maps too, which are no part of its trunk.
            ordered = [*submodules, whole]
        else:
            # Where side outputs leave a submodule, more of it lies on the way to its own answer.
            ordered = sorted([whole, *submodules], key=lambda found: -len(found.part.points))
        return _apart(found.part for found in ordered if found.shrinkage * STAGE_DROP > most)

    def _submodules(self, whole: _Found) -> Iterator[_Found]:
        """The submodules that may shrink their input as much as the network does, inner first."""
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
        maps = (value for value in call.outputs if value in self._maps.keys() - self._pooled)
        return min((self._maps[value].height for value in maps), default=1)

    @cached_property
    def _height(self) -> int:
        """Return of the image, which stands before the width."""
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
        """Return the way to the smallest map of a resolution that has the most bottlenecks."""
        parts = [
            self._found("", self._image, [value], self._height, to_last_block=True).part
            for value in self._smallest_maps()
        ]
        return max(parts, key=lambda part: len(part.bottlenecks), default=None)

    def _smallest_maps(self) -> Iterator[int]:
        """Return for each resolution the map that most modules end before, smallest first."""
        chains = Dominators(self._operators, self._image)
        reached = depths(self._operators, self._image)
        way = without_keys(self._operators, self._image, self._trace.outputs)
        by_size: dict[int, list[int]] = {}
        after = self._largest_after()
        for value in self._finder.returned:
            num_pixels = self._maps[value].num_pixels
            # Nothing is taken up again from a map that no larger one follows; a margin is none.
            is_before_larger = after.get(value, 0) >= STAGE_DROP * num_pixels
            if value in reached and value in way and is_before_larger:
                by_size.setdefault(num_pixels, []).append(value)
        for _, values in sorted(by_size.items()):
            yield max(values, key=lambda value: self._num_ended(chains.chain(value)))

    def _largest_after(self) -> dict[int, int]:
        """The pixels of the largest map that is made of each value, but for pooled context."""
        found: dict[int, int] = {}
        for operator in reversed(self._operators):
            sizes = [self._maps[v].num_pixels for v in operator.outputs if v in self._maps]
            most = max((*sizes, *(found.get(v, 0) for v in operator.outputs)), default=0)
            for value in operator.inputs:
                if value not in self._pooled:
                    found[value] = max(found.get(value, 0), most)
        return found

    def _num_ended(self, chain: Iterable[int]) -> tuple[int, int, int]:
        """The composite modules that end on a chain, its trunk maps, and how far it goes.

        A branch inside of a block may have many trunk maps of its own, but the block does not end.
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
        """The part that leads from a value to the deepest of some others.

        Args:
            module: the submodule that the part is, or "" for the network.
            source: the value where it starts.
            targets: the values where it may end.
            height: of the map at its start.
            to_last_block: whether it ends with the last stage that holds a block, if any does. A
                neck adds levels below its backbone, which hold none, or blocks that join levels.
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
        found = tuple(stages(list(points.values()), course))
        if to_last_block:
            fed = {
                call.module
                for call in self._finder.own_calls()
                if {source, *chain} >= {*call.taken}
            }
            ends = [i for i, stage in enumerate(found) if fed & {p.block for p in stage.blocks}]
            ended = [
                point for stage in found[: max(ends, default=-2) + 1] for point in stage.points
            ]
            found = tuple(stages(ended, course)) if ends else found
        heights = [point.map.height for stage in found for point in stage.points]
        return _Found(Part(module, found), height / min(heights, default=height))


def _is_worth_it(found: _Found, whole: _Found) -> bool:
    """Return whether a submodule is more of a trunk than a stem, which holds none of the blocks."""
    has_blocks, needs_blocks = (
        any(point.block for point in each.part.points) for each in (found, whole)
    )
    return bool(found.part.bottlenecks) and (has_blocks or not needs_blocks)


def _apart(parts: Iterable[Part]) -> Iterator[Part]:
    """Return parts that share no points, the first of those that do."""
    taken: set[str] = set()
    for part in parts:
        names = {point.module for point in part.points}
        if names and taken.isdisjoint(names):
            taken |= names
            yield part
