"""Cut points: the feature maps that modules return, and what is known of them on a trunk."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from bamctl.networks.inserted import HOLDER
from bamctl.tracing.operators import of
from bamctl.tracing.trace import Item, ModuleCall, Operator, Trace
from bamctl.trunk._blocks import Blocks, listed_stages
from bamctl.trunk._dataflow import needed_for, num_layers
from bamctl.trunk._stages import Course
from bamctl.trunk.cut_points import CutPoint
from bamctl.trunk.feature_maps import FeatureMap


class Return(NamedTuple):
    """A call that returns a map, as an item of its result if that holds more."""

    call: ModuleCall
    item: Item

    @property
    def module(self) -> str:
        """The module's name."""
        return self.call.module


class PointFinder:
    """Makes cut points of the values of a trace.

    Args:
        model: the traced network.
        trace: its trace.
        operators: those to follow, in the order of the forward pass.
        maps: the feature maps among its values.
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
        """The calls of modules that run once and are the network's own."""
        for call in self._trace.calls:
            is_own = call.module and HOLDER not in call.module.split(".")
            if is_own and self.num_calls[call.module] == 1:
                yield call

    def _find_returned(self) -> dict[int, list[Return]]:
        """The feature maps that modules return, and the calls that do, the innermost first."""
        returned: dict[int, list[Return]] = {}
        for call in self.own_calls():
            # What a module only hands on, as an Identity does, is not its own.
            own = [value for value in call.outputs if value in self._maps and _makes(call, value)]
            for value, item in call.items:
                if own == [value]:
                    returned.setdefault(value, []).append(Return(call, item))
        return returned

    def is_point(self, value: int) -> bool:
        """Return whether a map has something of the network in it, and no margin of padding."""
        is_padded = value in self._producers and of(self._producers[value].kind).pads
        has_layers = self._num_layers.get(value, 0) > 0
        return value in self.returned and has_layers and not is_padded

    def position(self, value: int) -> int:
        """The place of a map among all that modules return."""
        return self._position[value]

    def points(self, cuts: Sequence[int], input_height: int) -> dict[int, CutPoint]:
        """The cut points of a trunk, by their values.

        Args:
            cuts: the values, in the order of the forward pass.
            input_height: of the map that the trunk starts from, for the output stride.
        """
        blocks = self._blocks(cuts)
        by_value = {value: call for call, value in blocks.items()}
        return {value: self.point(value, by_value.get(value), input_height) for value in cuts}

    def _blocks(self, cuts: Collection[int]) -> dict[ModuleCall, int]:
        """The calls of blocks, and the trunk map that each ends with."""
        order = {value: index for index, value in enumerate(cuts)}
        calls, ended = {}, {}
        for call in self.own_calls():
            own = [value for value in call.outputs if value in order and _makes(call, value)]
            if own:
                calls[call.module] = call
                ended[call.module] = max(own, key=order.__getitem__)
        inputs = {name: call.input for name, call in calls.items() if call.input is not None}
        taken = {name: self._maps[v] for name, v in inputs.items() if v in self._maps}
        maps = {value: self._maps[value] for value in cuts}
        names = Blocks(self._model, ended, taken, maps).find()
        return {calls[name]: self._before_pooling(name, ended[name], order) for name in names}

    def _before_pooling(self, block: str, value: int, order: Mapping[int, int]) -> int:
        """Return the map before the pooling at the end of a block, where there is one."""
        producer = self._producers.get(value)
        if producer is None or not of(producer.kind).windows or producer.inputs[0] not in order:
            return value
        before = producer.inputs[0]
        inside = any(each.module.startswith(f"{block}.") for each in self.returned[before])
        return before if inside else value

    def course(
        self,
        points: Mapping[int, CutPoint],
        target: int,
        reached: Collection[int],
        *,
        is_pyramid: bool,
    ) -> Course:
        """Facts about the points of a trunk.

        Args:
            points: the points, by their values.
            target: the value that the trunk ends with.
            reached: all values that the part of the network returns.
            is_pyramid: whether they are the maps of several stages.
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
        """Points that are taken by a decoder, at the end of a block or behind it, before a layer.

        A norm behind the last block is a part of its stage only if it is the stage's result.
        """
        way = needed_for(self._operators, target)
        users: dict[int, list[Operator]] = {}
        for operator in self._operators:
            for value in set(operator.inputs):
                users.setdefault(value, []).append(operator)

        def leaves(value: int) -> bool:
            own = users.get(value, [])
            if value != target and (
                value in reached or any(way.isdisjoint(each.outputs) for each in own)
            ):
                return True
            return len(own) == 1 and of(own[0].kind).copies and leaves(own[0].outputs[0])

        found, last = set(), -1
        for value, point in points.items():
            if point.block:
                last = self._num_layers[value]
            if self._num_layers[value] == last and leaves(value):
                found.add(point.module)
        return frozenset(found)

    def point(self, value: int, block: ModuleCall | None, input_height: int) -> CutPoint:
        """The cut point of a map, and of the block that ends with it."""
        returns, found = self.returned[value], self._maps[value]
        # A module that returns the map and nothing else is what a person would name.
        outermost = min(returns, key=lambda each: (each.item is not None, each.module.count(".")))
        return CutPoint(
            module=outermost.module,
            aliases=tuple(each.module for each in returns),
            position=self._position[value],
            block=block.module if block else None,
            repeatable=block is not None and self._keeps_shape(block),
            map=found,
            reduction=max(1, round(input_height / found.height)),
            item=outermost.item,
        )

    def _keeps_shape(self, call: ModuleCall) -> bool:
        if call.item is not None or call.output is None or not call.is_unary:
            return False
        values = (-1 if value is None else value for value in (call.input, call.output))
        taken, returned = (self._trace.shapes.get(value) for value in values)
        return taken is not None and taken == returned


def _makes(call: ModuleCall, value: int) -> bool:
    """Return whether a value that a call returns is not one that it was given."""
    return value not in (call.input, *call.taken)
