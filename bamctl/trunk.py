"""The trunk of a network, found from its trace.

Nothing here knows a network by name. The trunk is the part of the network that does the
downsampling: the network itself where that leads from its input to its answer, and otherwise the
submodule that shrinks its own input the most on the way to its deepest output, such as a detector's
backbone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from bamctl.attention.hook import HOLDER
from bamctl.cut_points import CutPoint, Part, Trunk
from bamctl.dataflow import cut_vertices, depths, pooled
from bamctl.feature_maps import feature_maps
from bamctl.stages import STAGE_DROP, blocks, stages, without_head
from bamctl.tracing import ModuleCall, Trace


def find_trunk(model: nn.Module, trace: Trace) -> Trunk:
    """Find the cut points of a traced network, its blocks, its stages and its bottlenecks."""
    return _Search(model, trace).trunk()


@dataclass(frozen=True)
class _Found:
    """A part, and by how much it shrinks the height of its own input."""

    part: Part
    shrinkage: float


class _Search:
    def __init__(self, model: nn.Module, trace: Trace) -> None:
        self._model = model
        self._trace = trace
        self._maps = feature_maps(trace)
        self._num_calls = Counter(call.module for call in trace.calls)
        self._returned = self._find_returned()
        self._position = {value: index for index, value in enumerate(self._returned)}

    def trunk(self) -> Trunk:
        parts = tuple(found.part for found in self._parts())
        on_trunk = {name for part in parts for point in part.points for name in point.aliases}
        return Trunk(
            parts=parts,
            side_points={
                call.module: self._point(value, frozenset(), self._height)
                for value, calls in self._returned.items()
                for call in calls
                if call.module not in on_trunk
            },
            num_calls={name: self._num_calls[name] for name, _ in self._model.named_modules()},
        )

    def _find_returned(self) -> dict[int, list[ModuleCall]]:
        """The feature maps that modules return, and the calls that do, the innermost first."""
        returned: dict[int, list[ModuleCall]] = {}
        for call in self._trace.calls:
            own = call.module and HOLDER not in call.module.split(".")
            # What a module only hands on, as an Identity does, is not its own.
            made = call.output is not None and call.output != call.input
            once = self._num_calls[call.module] == 1
            if own and made and once and call.output in self._maps:
                returned.setdefault(call.output, []).append(call)
        return returned

    def _parts(self) -> list[_Found]:
        whole = self._whole()
        parts = [found for found in self._submodules(whole) if _is_worth_it(found, whole)]
        if not parts and not whole.part.bottlenecks:
            return [self._encoder() or whole]
        most = max(found.shrinkage for found in (*parts, whole))
        if self._answers_with_a_map:
            # Its head is made of maps too, which are no part of its trunk.
            ordered = [*parts, whole]
        else:
            # Where side outputs leave a submodule, more of it lies on the way to its own answer.
            ordered = sorted([whole, *parts], key=lambda found: -len(found.part.points))
        deep = (found for found in ordered if found.shrinkage * STAGE_DROP > most)
        return list(_apart(deep))

    def _submodules(self, whole: _Found) -> Iterator[_Found]:
        """The submodules that may shrink their input as much as the network does, inner first."""
        least = max(whole.shrinkage / STAGE_DROP, STAGE_DROP)
        for call in self._trace.calls:
            once, source = self._num_calls[call.module] == 1, call.input
            is_composite = next(self._model.get_submodule(call.module).children(), None)
            if not call.module or not once or not is_composite or source not in self._maps:
                continue
            height = self._maps[source].height
            if height / self._least_height(call) > least:
                yield self._found(call.module, source, call.outputs, height)

    def _least_height(self, call: ModuleCall) -> int:
        """Of the maps that a module returns; one that returns none may shrink them to nothing."""
        maps = (value for value in call.outputs if value in self._maps.keys() - self._pooled)
        return min((self._maps[value].height for value in maps), default=1)

    @cached_property
    def _image(self) -> int:
        """The input that the network looks at: the first one with height and width."""
        shapes = {value: self._trace.shapes.get(value, ()) for value in self._trace.inputs}
        images = (value for value, shape in shapes.items() if len(shape) >= 3)
        return next(images, self._trace.inputs[0])

    @cached_property
    def _height(self) -> int:
        """Of the image, which stands before the width."""
        shape = self._trace.shapes.get(self._image, ())
        known = self._maps.get(self._image)
        return known.height if known else (shape[-2] if len(shape) >= 3 else 1)

    @cached_property
    def _pooled(self) -> set[int]:
        return pooled(self._trace, self._maps)

    @cached_property
    def _answers_with_a_map(self) -> bool:
        depth = depths(self._trace, self._image)
        answers = [value for value in self._trace.outputs if value in depth]
        if not answers:
            return False
        deepest = max(answers, key=depth.__getitem__)
        return deepest in self._maps and deepest not in self._pooled

    def _whole(self) -> _Found:
        return self._found("", self._image, self._trace.outputs, self._height)

    def _encoder(self) -> _Found | None:
        """The way down of a network whose connections jump over all of it, as in a U-Net."""
        reached = depths(self._trace, self._image)
        maps = {v: m for v, m in self._maps.items() if v in reached and v not in self._pooled}
        least = min((found.num_pixels for found in maps.values()), default=0)
        targets = [value for value, found in maps.items() if found.num_pixels == least]
        found = self._found("", self._image, targets, self._height)
        return found if found.part.bottlenecks else None

    def _found(self, module: str, source: int, targets: Iterable[int], height: int) -> _Found:
        """The part that leads from a value to the deepest of some others."""
        depth = depths(self._trace, source)
        reached = [value for value in targets if value in depth]
        if not reached:
            return _Found(Part(module, ()), 1.0)
        target = max(reached, key=depth.__getitem__)
        on_all_paths = cut_vertices(self._trace, source, target, depth)
        cuts = [value for value in on_all_paths if value in self._returned]
        names = [call.module for value in cuts for call in self._returned[value]]
        own_blocks = blocks(self._model, names)
        points = {value: self._point(value, own_blocks, height) for value in cuts}
        is_pyramid = sum(1 for value in reached if value in self._maps) > 1
        trunk = without_head(points, self._trace)
        part = Part(module, tuple(stages(trunk, is_pyramid=is_pyramid)))
        return _Found(part, height / min((point.map.height for point in trunk), default=height))

    def _point(self, value: int, own_blocks: frozenset[str], input_height: int) -> CutPoint:
        calls, found = self._returned[value], self._maps[value]
        # A module that returns the map and nothing else is what a person would name.
        outermost = min(calls, key=lambda call: (call.item is not None, call.module.count(".")))
        block = next((call for call in calls if call.module in own_blocks), None)
        return CutPoint(
            module=outermost.module,
            aliases=tuple(call.module for call in calls),
            position=self._position[value],
            block=block.module if block else None,
            repeatable=block is not None and self._keeps_shape(block),
            map=found,
            reduction=max(1, round(input_height / found.height)),
            item=outermost.item,
        )

    def _keeps_shape(self, call: ModuleCall) -> bool:
        if call.item is not None or not call.is_unary:
            return False
        values = (-1 if value is None else value for value in (call.input, call.output))
        taken, returned = (self._trace.shapes.get(value) for value in values)
        return taken is not None and taken == returned


def _is_worth_it(found: _Found, whole: _Found) -> bool:
    """Whether a submodule is more of a trunk than a stem, which holds none of the blocks."""
    has_blocks, needs_blocks = (
        any(point.block for point in each.part.points) for each in (found, whole)
    )
    return bool(found.part.bottlenecks) and (has_blocks or not needs_blocks)


def _apart(found: Iterable[_Found]) -> Iterator[_Found]:
    """Of parts that share points, only the first."""
    taken: set[str] = set()
    for each in found:
        names = {point.module for point in each.part.points}
        if names and taken.isdisjoint(names):
            taken |= names
            yield each
