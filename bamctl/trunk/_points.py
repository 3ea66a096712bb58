"""Cut points: the feature maps that modules return, with their blocks and output strides."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from bamctl.networks.inserted import HOLDER
from bamctl.tracing.operators import of
from bamctl.tracing.trace import Item, ModuleCall, Operator, Trace
from bamctl.trunk._blocks import Blocks, listed_stages
from bamctl.trunk._branches import Branches
from bamctl.trunk._dataflow import needed_for, num_layers
from bamctl.trunk._levels import levels
from bamctl.trunk._stages import Course
from bamctl.trunk.cut_points import CutPoint
from bamctl.trunk.feature_maps import FeatureMap


class Return(NamedTuple):
    """A module call that returns a map, and the item of its result if it returns more."""

    call: ModuleCall
    item: Item

    @property
    def module(self) -> str:
        """The module's name."""
        return self.call.module


class PointFinder:
    """Builder of cut points from the values of a trace.

    Args:
        model: the traced network.
        trace: its trace.
        operators: the operators to follow, in the order of the forward pass.
        maps: the feature maps, by their values.
    """

    def __init__(
        self,
        model: nn.Module,
        trace: Trace,
        operators: Sequence[Operator],
        maps: Mapping[int, FeatureMap],
    ) -> None:
        self._model = model
        self._trace = trace
        self._operators = operators
        self._maps = maps
        self._num_layers = num_layers(trace.operators)
        self._producers = {value: op for op in trace.operators for value in op.outputs}
        self.num_calls = Counter(call.module for call in trace.calls)
        self.returned = self._find_returned()
        self._position = {value: index for index, value in enumerate(self.returned)}

    def own_calls(self) -> Iterator[ModuleCall]:
        """Yield the calls of modules that run once and were not inserted by bamctl."""
        for call in self._trace.calls:
            is_own = call.module and HOLDER not in call.module.split(".")
            if is_own and self.num_calls[call.module] == 1:
                yield call

    def _find_returned(self) -> dict[int, list[Return]]:
        """Return the feature maps that modules return, with these calls, innermost first."""
        returned: dict[int, list[Return]] = {}
        for call in self.own_calls():
            # A map that a module only passes on, as an Identity does, is not computed by it.
            new = [value for value in call.outputs if value in self._maps and _makes(call, value)]
            for value, item in call.items:
                if new == [value]:
                    returned.setdefault(value, []).append(Return(call, item))
        return returned

    def is_point(self, value: int) -> bool:
        """Return whether a module returns a map that layers computed and that is not padded."""
        is_padded = value in self._producers and of(self._producers[value].kind).pads
        has_layers = self._num_layers.get(value, 0) > 0
        return value in self.returned and has_layers and not is_padded

    def position(self, value: int) -> int:
        """Return the index of a map among all that modules return, as the forward pass orders."""
        return self._position[value]

    def points(self, cuts: Sequence[int], input_height: int) -> dict[int, CutPoint]:
        """Return the cut points of a trunk, by their values.

        Args:
            cuts: the values, in the order of the forward pass.
            input_height: height of the map where the trunk starts, for the output stride.
        """
        blocks = self._blocks(cuts)
        by_value = {value: call for call, value in blocks.items()}
        return {value: self.point(value, by_value.get(value), input_height) for value in cuts}

    def _blocks(self, cuts: Collection[int]) -> dict[ModuleCall, int]:
        """Return the calls of blocks, each with the trunk map at its end."""
        order = {value: index for index, value in enumerate(cuts)}
        calls, ended = {}, {}
        for call in self.own_calls():
            on_trunk = [value for value in call.outputs if value in order and _makes(call, value)]
            if on_trunk:
                calls[call.module] = call
                ended[call.module] = max(on_trunk, key=order.__getitem__)
        inputs = {name: call.input for name, call in calls.items() if call.input is not None}
        taken = {name: self._maps[v] for name, v in inputs.items() if v in self._maps}
        maps = {value: self._maps[value] for value in cuts}
        names = Blocks(self._model, ended, taken, maps).find()
        return {calls[name]: self._before_pooling(name, ended[name], order) for name in names}

    def _before_pooling(self, block: str, value: int, order: Mapping[int, int]) -> int:
        """Return the map before a pooling at the end of a block, or else the block's result."""
        producer = self._producers.get(value)
        if producer is None or not of(producer.kind).windows or producer.inputs[0] not in order:
            return value
        before = producer.inputs[0]
        inside = any(each.module.startswith(f"{block}.") for each in self.returned[before])
        return before if inside else value

    def branches(self, points: Sequence[CutPoint]) -> tuple[list[int], dict[str, str]]:
        """Return the ends of the branches of blocks, and the blocks without, with the reason.

        Args:
            points: the points of a trunk.
        """
        found = Branches(self._trace.operators, self._trace.shapes)
        calls = {call.module: call for call in self.own_calls()}
        values = list(self.returned)
        ends: list[int] = []
        without: dict[str, str] = {}
        for point in points:
            if point.block is None:
                continue
            end = found.end(calls[point.block], values[point.position], self.returned)
            if isinstance(end, int):
                ends.append(end)
            else:
                without[point.block] = end
        return list(dict.fromkeys(ends)), without

    def levels(self) -> tuple[list[int], list[int]]:
        """Return the maps that the heads of a pyramid read, and those that no module returns."""
        extents = {value: each.extents for value, each in self._maps.items()}
        calls = [call for call in self._trace.calls if call.module]
        found = levels(calls, self._trace.operators, extents, self._trace.outputs)
        shown = [value for value in found if value in self.returned]
        return shown, [value for value in found if value not in self.returned]

    def course(
        self,
        points: Mapping[int, CutPoint],
        target: int,
        reached: Collection[int],
        *,
        is_pyramid: bool,
    ) -> Course:
        """Return the facts about the points of a trunk that decide where its stages end.

        Args:
            points: the points, by their values.
            target: the value at the end of the trunk.
            reached: all values that this part of the network returns.
            is_pyramid: whether these are the maps of several stages.
        """
        block_names = [point.block for point in points.values() if point.block]
        return Course(
            listed=listed_stages(self._model, block_names),
            leaving=self._leaving(points, target, reached),
            is_pyramid=is_pyramid,
        )

    def _leaving(
        self, points: Mapping[int, CutPoint], target: int, reached: Collection[int]
    ) -> frozenset[str]:
        """Return the points that a decoder takes at the end of a block, or between it and a layer.

        A norm behind the last block belongs to its stage only if it is the stage's result.
        """
        way = needed_for(self._operators, target)
        users: dict[int, list[Operator]] = {}
        for operator in self._operators:
            for value in set(operator.inputs):
                users.setdefault(value, []).append(operator)

        def leaves(value: int) -> bool:
            ops = users.get(value, [])
            if value != target and (
                value in reached or any(way.isdisjoint(each.outputs) for each in ops)
            ):
                return True
            return len(ops) == 1 and of(ops[0].kind).copies and leaves(ops[0].outputs[0])

        leaving, last = set(), -1
        for value, point in points.items():
            if point.block:
                last = self._num_layers[value]
            if self._num_layers[value] == last and leaves(value):
                leaving.add(point.module)
        return frozenset(leaving)

    def point(self, value: int, block: ModuleCall | None, input_height: int) -> CutPoint:
        """Return the cut point of a map.

        Args:
            value: the map.
            block: the call of the block that ends with it, if there is one.
            input_height: height of the map where the trunk starts, for the output stride.
        """
        returns, feature_map = self.returned[value], self._maps[value]
        # A module that returns the map alone, then the outermost: the name a user would choose.
        outermost = min(returns, key=lambda each: (each.item is not None, each.module.count(".")))
        return CutPoint(
            module=outermost.module,
            aliases=tuple(each.module for each in returns),
            position=self._position[value],
            block=block.module if block else None,
            repeatable=block is not None and self._keeps_shape(block),
            map=feature_map,
            reduction=max(1, round(input_height / feature_map.height)),
            item=outermost.item,
        )

    def _keeps_shape(self, call: ModuleCall) -> bool:
        if call.item is not None or call.output is None or not call.is_unary:
            return False
        values = (-1 if value is None else value for value in (call.input, call.output))
        taken, returned = (self._trace.shapes.get(value) for value in values)
        return taken is not None and taken == returned


def _makes(call: ModuleCall, value: int) -> bool:
    """Return whether a call computed a value instead of passing on one of its inputs."""
    return value not in (call.input, *call.taken)
