"""The levels of a pyramid: the maps that its heads read, such as P3 to P5 of a detector."""

from collections.abc import Mapping, Sequence

from bamctl.tracing.operators import of
from bamctl.tracing.trace import ModuleCall, Operator


def levels(
    calls: Sequence[ModuleCall],
    operators: Sequence[Operator],
    maps: Mapping[int, tuple[int, ...]],
    outputs: Sequence[int],
) -> list[int]:
    """Return the maps that the heads of a pyramid read, in the order of the forward pass.

    A prediction is a map from which no other map is computed, or that the network returns. Its head
    is the outermost call of a module in which it depends on one map that the module takes, and that
    has its extents: that map is a level. A network has a pyramid if there are levels of two or more
    resolutions.

    Args:
        calls: the calls of all modules but the network.
        operators: the operators of the trace.
        maps: the extents of the feature maps, by their values.
        outputs: the values that the network returns.
    """
    pending = _last_maps(operators, maps, outputs)
    if len({maps[value] for value in pending}) < 2:
        return []
    heads = _Heads(calls, operators, maps)
    found, seen = set[int](), set[int]()
    while pending:
        seen.update(pending)
        read = heads.read_by(pending)
        found.update(read.values())
        # What no module predicts is joined from what modules predict, as scores and boxes are.
        joined = (v for value in pending if value not in read for v in heads.operands(value))
        pending = [value for value in dict.fromkeys(joined) if value not in seen]
    order = {value: index for index, value in enumerate(maps)}
    ordered = sorted(found, key=order.__getitem__)
    return ordered if len({maps[value] for value in ordered}) > 1 else []


def _last_maps(
    operators: Sequence[Operator], maps: Mapping[int, tuple[int, ...]], outputs: Sequence[int]
) -> list[int]:
    """Return the computed maps from which no other map is computed, or that are returned."""
    leads_on, last = set[int](), []
    for operator in reversed(operators):
        own = [value for value in operator.outputs if value in maps]
        last += [value for value in own if value not in leads_on or value in outputs]
        if own or not leads_on.isdisjoint(operator.outputs):
            leads_on.update(operator.inputs)
    return last[::-1]


class _Heads:
    """The modules that compute predictions from the levels of a pyramid."""

    def __init__(
        self,
        calls: Sequence[ModuleCall],
        operators: Sequence[Operator],
        maps: Mapping[int, tuple[int, ...]],
    ) -> None:
        # Outermost first: a module with fewer dots in its name contains more.
        self._calls = sorted(calls, key=lambda call: call.module.count("."))
        self._producers = {value: op for op in operators for value in op.outputs}
        self._maps = maps

    def read_by(self, predictions: Sequence[int]) -> dict[int, int]:
        """Return the level that the head of each prediction reads, if a module is its head."""
        found: dict[int, int] = {}
        for call in self._calls:
            taken = [value for value in call.taken if value in self._maps]
            inside = self._before(call.outputs, call) - set(call.taken) if taken else ()
            own = [value for value in predictions if value in inside and value not in found]
            read = {value: self._before([value], call).intersection(taken) for value in own}
            if all(self._is_level(levels, value) for value, levels in read.items()):
                found |= {value: min(levels) for value, levels in read.items()}
        return found

    def _is_level(self, levels: set[int], prediction: int) -> bool:
        return len(levels) == 1 and self._maps[min(levels)] == self._maps[prediction]

    def operands(self, value: int) -> list[int]:
        """Return the maps of the same extents that a value is computed from without a layer."""
        operator = self._producers.get(value)
        if operator is None or of(operator.kind).layer:
            return []
        extents = self._maps[value]
        return [each for each in operator.inputs if self._maps.get(each) == extents]

    def _before(self, values: Sequence[int], call: ModuleCall) -> set[int]:
        """Return values and what they are computed from, up to what the call takes."""
        seen, stack = set[int](), list(values)
        while stack:
            value = stack.pop()
            if value in seen:
                continue
            seen.add(value)
            if value not in call.taken and value in self._producers:
                stack += self._producers[value].inputs
        return seen
