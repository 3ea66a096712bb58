"""The ends of residual branches, before the sums: where SE and CBAM stand in their papers."""

from collections.abc import Iterator, Mapping, Sequence

from bamctl.tracing.operators import of
from bamctl.tracing.trace import ModuleCall, Operator, Shape

NO_SUM = "no sum of two maps at its end"
NO_MODULE = "no module returns the end of the branch as a feature map"
UNDECIDED = "both operands of the sum are equally far from the input"


class Branches:
    """The residual branch of a block, from the graph of a trace.

    The sum that makes the block's output is looked for behind activations, norms and changes of the
    layout. Of its operands, the one with more operators between it and the block's input ends the
    branch. A layer scale or stochastic depth between the branch and the sum belongs to the sum.

    Args:
        operators: the operators of the trace.
        shapes: the shapes of computed values.
    """

    def __init__(self, operators: Sequence[Operator], shapes: Mapping[int, Shape]) -> None:
        self._producers = {value: op for op in operators for value in op.outputs}
        self._shapes = shapes

    def end(self, call: ModuleCall, output: int, returned: Mapping[int, object]) -> int | str:
        """Return the value that ends the branch of a block, or why there is none.

        Args:
            call: the call of the block.
            output: the value that ends the block.
            returned: the feature maps that modules return, by their values.
        """
        depths = self._depths(call, output)
        operands = self._summed(output, depths)
        if operands is None:
            return NO_SUM
        one, other = sorted(operands, key=depths.__getitem__)
        if depths[one] == depths[other]:
            return UNDECIDED
        end = self._unscaled(other, depths)
        return end if end in returned else NO_MODULE

    def _depths(self, call: ModuleCall, output: int) -> dict[int, int]:
        """Return the longest path from the block's input to each value inside it."""
        depths = dict.fromkeys(call.taken, 0)
        for value in self._inside(call, output):
            before = [depths[v] for v in self._producers[value].inputs if v in depths]
            if before and value not in depths:
                depths[value] = 1 + max(before)
        return depths

    def _inside(self, call: ModuleCall, output: int) -> Iterator[int]:
        """Yield the values that a block computes for its output, operands before results."""
        seen, stack = set(call.taken), [(output, False)]
        while stack:
            value, is_done = stack.pop()
            if is_done:
                yield value
            elif value not in seen and value in self._producers:
                seen.add(value)
                stack += [(value, True), *((v, False) for v in self._producers[value].inputs)]

    def _summed(self, value: int, depths: Mapping[int, int]) -> tuple[int, int] | None:
        """Return the operands of the sum that makes a value, or None."""
        while depths.get(value):
            operator = self._producers[value]
            data = [each for each in operator.inputs if each in depths]
            if of(operator.kind).sums and len(set(data)) == 2:
                one, other = data
                return (one, other) if self._shapes.get(one) == self._shapes.get(other) else None
            if len(data) != 1 or of(operator.kind).layer:
                return None
            value = data[0]
        return None

    def _unscaled(self, value: int, depths: Mapping[int, int]) -> int:
        """Return the value before products with parameters, such as those of a layer scale."""
        while value in self._producers and of(self._producers[value].kind).scales:
            data = [each for each in self._producers[value].inputs if each in depths]
            if len(data) != 1:
                break
            value = data[0]
        return value
