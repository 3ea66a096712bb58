"""Queries on a trace's dataflow graph: dominators, depths, and globally pooled values."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce

from bamctl.tracing.operators import of
from bamctl.tracing.trace import Operator, Trace
from bamctl.trunk.feature_maps import FeatureMap


def depths(operators: Iterable[Operator], source: int) -> dict[int, int]:
    """Return the values reachable from one, each with the length of the longest path to it."""
    depth = {source: 0}
    for operator in operators:
        before = [depth[value] for value in operator.inputs if value in depth]
        if before:
            depth |= dict.fromkeys(operator.outputs, max(before) + 1)
    return depth


def num_layers(operators: Iterable[Operator]) -> dict[int, int]:
    """Return the most layers with weights on a path to each value; 0 for a preprocessed image."""
    layers: dict[int, int] = {}
    for operator in operators:
        before = max((layers.get(value, 0) for value in operator.inputs), default=0)
        layers |= dict.fromkeys(operator.outputs, before + of(operator.kind).layer)
    return layers


class Dominators:
    """The values that every path from a source to another value passes through.

    The immediate dominator of a value is the nearest common dominator of its operands; in the order
    of the forward pass, one pass finds all (Cooper, Harvey and Kennedy, 2001, "A Simple, Fast
    Dominance Algorithm").
    """

    def __init__(self, operators: Iterable[Operator], source: int) -> None:
        self._parent = {source: source}
        self._level = {source: 0}
        for operator in operators:
            reached = [value for value in operator.inputs if value in self._parent]
            if reached:
                parent = reduce(self._meet, reached)
                for value in operator.outputs:
                    # An in-place operator may return its operand.
                    if value not in self._parent:
                        self._parent[value] = parent
                        self._level[value] = self._level[parent] + 1

    def _meet(self, one: int, other: int) -> int:
        while one != other:
            if self._level[one] >= self._level[other]:
                one = self._parent[one]
            else:
                other = self._parent[other]
        return one

    def chain(self, value: int) -> list[int]:
        """Return the dominators of a value and itself, without the source, in execution order."""
        found = []
        while self._parent[value] != value:
            found.append(value)
            value = self._parent[value]
        return found[::-1]


def needed_for(operators: Sequence[Operator], target: int) -> set[int]:
    """Return the values that a value is computed from, and itself."""
    needed = {target}
    for operator in reversed(operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
    return needed


def pooled(operators: Iterable[Operator], maps: dict[int, FeatureMap]) -> set[int]:
    """Return the maps that a pooling shrank, and those computed from pooled maps alone."""
    pooled_maps: set[int] = set()
    for operator in operators:
        before = [value for value in operator.inputs if value in maps]
        after = [value for value in operator.outputs if value in maps]
        if not before or not after:
            continue
        shrinks = maps[after[0]].num_pixels < maps[before[0]].num_pixels
        if pooled_maps.issuperset(before) or (of(operator.kind).pools and shrinks):
            pooled_maps.update(after)
    return pooled_maps


def without_injections(
    trace: Trace, image: int, maps: dict[int, FeatureMap]
) -> tuple[Operator, ...]:
    """Return the operators without the shrunk images that a network feeds to its later stages.

    A shrunk image, or the output of a few layers on it, is dropped from the inputs of an operator
    that joins it with a map of more layers: ESPNetv2 and CGNet feed it to every stage, which would
    leave no map on every path.
    """
    if image not in maps:
        return trace.operators
    reached, layers = depths(trace.operators, image), num_layers(trace.operators)
    injected: set[int] = set()
    remaining = []
    for operator in trace.operators:
        inputs = [value for value in operator.inputs if value in reached]
        deep = [layers.get(value, 0) for value in inputs if value not in injected]
        if inputs and not deep:
            injected.update(operator.outputs)
        elif not injected.isdisjoint(inputs):
            dropped = {v for v in injected.intersection(inputs) if layers.get(v, 0) < max(deep)}
            kept = tuple(value for value in operator.inputs if value not in dropped)
            remaining.append(replace(operator, inputs=kept))
            continue
        elif inputs and _is_smaller_image(operator, image, maps, layers):
            injected.update(operator.outputs)
        remaining.append(operator)
    return tuple(remaining)


def _is_smaller_image(
    operator: Operator, image: int, maps: dict[int, FeatureMap], layers: dict[int, int]
) -> bool:
    made = (value for value in operator.outputs if value in maps and not layers[value])
    return any(maps[value].num_pixels < maps[image].num_pixels for value in made)


def without_keys(operators: Sequence[Operator], source: int, outputs: Iterable[int]) -> set[int]:
    """Return the values between a source and the outputs, without keys and values of attention.

    Keys and values may be shrunk inside a block; the queries keep the resolution of the block. If
    the outputs depend on the source by attention alone, the paths through keys and values remain.
    """
    reached = depths(operators, source)
    both, queries = set(outputs), set(outputs)
    for operator in reversed(operators):
        given = [value for value in operator.inputs if value in reached]
        if not both.isdisjoint(operator.outputs):
            both.update(given)
        if not queries.isdisjoint(operator.outputs):
            queries.update(given[:1] if of(operator.kind).attends else given)
    return queries if source in queries else both
