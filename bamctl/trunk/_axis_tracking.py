"""Propagation of axes from the inputs of a trace through all operators."""

from bamctl.tracing import operators
from bamctl.tracing.trace import Operator, Shape, Trace
from bamctl.trunk._axes import (
    OTHER,
    SHUFFLED,
    SPATIAL,
    TOKENS,
    Axes,
    Axis,
    Factor,
    restepped,
    spatial_names,
)
from bamctl.trunk._axis_rules import RULES, named_dims, unknown, without


def find_axes(trace: Trace) -> dict[int, Axes]:
    """Return the axes of every value that has a known shape and was computed from an input."""
    return _Tracker(trace).axes


class _Tracker:
    def __init__(self, trace: Trace) -> None:
        self._shapes = trace.shapes
        self._is_video = any(len(trace.shapes.get(value, ())) == 5 for value in trace.inputs)
        self.axes: dict[int, Axes] = {}
        # A list of tensors, as from `chunk`, has no shape: that of the tensor it was cut from.
        self._cut: dict[int, tuple[Shape, Axes]] = {}
        for value in trace.inputs:
            self.axes[value] = _of_input(trace.shapes.get(value, ()))
        for operator in trace.operators:
            self._follow(operator)

    def _follow(self, operator: Operator) -> None:
        kind = operators.of(operator.kind)
        if kind.axes == "split":
            self._split(operator)
            return
        if kind.on_maps:
            self._name_extents(operator.inputs[0])
        for value in operator.outputs:
            shape = self._shapes.get(value)
            if shape and (found := self._result(operator, shape)):
                self.axes[value] = restepped(found)

    def _split(self, operator: Operator) -> None:
        source = operator.inputs[0]
        shape, axes = self._shapes.get(source), self.axes.get(source)
        if shape and axes:
            if operator.kind == "aten::unbind":
                dim = named_dims(operator, len(shape))[0]
                shape, axes = without(shape, (dim,)), without(axes, (dim,))
            self._cut |= dict.fromkeys(operator.outputs, (shape, axes))

    def _name_extents(self, value: int) -> None:
        """Name height and width at the first operator that works on maps."""
        shape = self._shapes.get(value, ())
        num_spatial = len(shape) - 2
        if num_spatial != 2 and not (num_spatial == 3 and self._is_video):
            return
        axes = list(self.axes.get(value) or unknown(shape))
        named = {name for axis in axes for name in spatial_names(axis)}
        for index, name in enumerate(SPATIAL[-num_spatial:], 2):
            names = {factor.name for factor in axes[index]}
            if name not in named and not names & {SHUFFLED, *SPATIAL, TOKENS}:
                axes[index] = (Factor(name, shape[index]),)
        self.axes[value] = tuple(axes)

    def _result(self, operator: Operator, shape: Shape) -> Axes | None:
        given = [self._operand(value) for value in operator.inputs if self._is_computed(value)]
        if not any(value in self.axes or value in self._cut for value in operator.inputs):
            return None
        rule = RULES[operators.of(operator.kind).axes]
        return rule(operator, given, shape)

    def _is_computed(self, value: int) -> bool:
        return value in self._cut or value in self._shapes

    def _operand(self, value: int) -> tuple[Shape, Axes]:
        if value in self._cut:
            return self._cut[value]
        shape = self._shapes[value]
        return shape, self.axes.get(value) or unknown(shape)


def _of_input(shape: Shape) -> Axes:
    """Return the axes of an image, as (N, C, H, W) or (N, H, W, C), or video; else unnamed ones."""
    axes: list[Axis] = [(Factor(OTHER, size),) for size in shape]
    if len(shape) in (4, 5):
        is_channels_last = len(shape) == 4 and shape[3] < shape[1]
        first = 1 if is_channels_last else len(shape) - 2
        for index, name in enumerate(("h", "w"), first):
            axes[index] = (Factor(name, shape[index]),)
    return ((), *axes[1:]) if shape else ()
