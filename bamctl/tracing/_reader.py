"""Reading of the operators of a traced graph."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor

from bamctl.tracing import operators
from bamctl.tracing._mac_formulas import shape_of

_CONTAINERS = frozenset({"prim::ListConstruct", "prim::TupleConstruct", "prim::DictConstruct"})


@dataclass(frozen=True)
class Operator:
    """One operator of the trace; `inputs` and `outputs` are the ids of values that carry features.

    `ints` holds the constant integers among its arguments, such as the order of a permutation.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ints: tuple[int | tuple[int, ...], ...]


class Reader:
    """Reader of the nodes of a graph, in execution order.

    Queries to a graph are slow and each value has several users, so facts about values are cached
    by their ids: the feature values that each one is or contains, and its constant integers.
    """

    def __init__(self, inputs: list[Any]) -> None:
        self.computed: list[Any] = []
        self._held: dict[int, tuple[int, ...]] = {v.unique(): (v.unique(),) for v in inputs}
        self._ints: dict[int, int | tuple[int, ...]] = {}

    def operator(self, node: Any) -> Operator | None:
        """Return the operator of a node, or None for a constant, a container or an unused one."""
        kind = node.kind()
        if kind == "prim::Constant":
            self._read_constant(node.output())
            return None
        outputs = list(node.outputs())
        self.computed += outputs
        ids = [value.unique() for value in node.inputs()]
        if kind in _CONTAINERS:
            self._read_container(kind, ids, outputs[0].unique())
            return None
        after = tuple(value.unique() for value in outputs if _carries_features(value))
        self._held.update((value, (value,)) for value in after)
        before = self._all_held(ids) if after and not operators.of(kind).shape_only else ()
        if not before:
            return None
        ints = tuple(self._ints[value] for value in ids if value in self._ints)
        if kind == "aten::_convolution_mode":
            # A convolution with a string as padding, such as "same".
            return Operator("aten::_convolution", before, after, _with_padding(node, ints))
        return Operator(kind, before, after, ints)

    def held(self, values: Any) -> tuple[int, ...]:
        """Return the ids of feature values among the values, also in lists, tuples and dicts."""
        return self._all_held(value.unique() for value in values)

    def _all_held(self, values: Iterable[int]) -> tuple[int, ...]:
        return tuple(chain.from_iterable(self._held.get(value, ()) for value in values))

    def _read_constant(self, value: Any) -> None:
        constant = value.toIValue()
        if isinstance(constant, int) and not isinstance(constant, bool):
            self._ints[value.unique()] = constant
        elif isinstance(constant, Tensor):
            self._held[value.unique()] = (value.unique(),)
        elif isinstance(constant, list):
            self._ints[value.unique()] = tuple(each for each in constant if type(each) is int)

    def _read_container(self, kind: str, given: list[int], made: int) -> None:
        """Record the items of a list, tuple or dict that a node constructs."""
        self._held[made] = self._all_held(given)
        if kind == "prim::ListConstruct":
            items = (self._ints.get(value) for value in given)
            self._ints[made] = tuple(item for item in items if isinstance(item, int))


def _with_padding(node: Any, ints: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the integers of a convolution whose padding is a string, with it as numbers."""
    stride, dilation, groups = ints
    _, weight, _, _, word, *_ = node.inputs()
    spread = zip(shape_of(weight) or (), [0, 0, *dilation], strict=False)
    reach = [each * (taps - 1) for taps, each in spread][2:]
    is_same = word.toIValue() == "same"
    # The extra element of an odd total padding is at the end.
    padding = tuple(each // 2 if is_same else 0 for each in reach)
    return stride, padding, dilation, (0,) * len(padding), groups


def _carries_features(value: Any) -> bool:
    """Return whether a value is a tensor or contains some; numbers are sizes, not features."""
    kind = value.type().kind()
    if kind == "ListType":
        return bool(value.type().getElementType().kind() == "TensorType")
    return kind in ("TensorType", "TupleType")
