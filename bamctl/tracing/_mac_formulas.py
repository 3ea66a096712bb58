"""Formulas for the multiply-adds of convolutions, matrix products and attention, one counted as 1.

Every formula takes the inputs and outputs of an operator as values of the traced graph. Those of
matrix products are the number of output elements times the length of the contracted axes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

Formula = Callable[[list[Any], list[Any]], int]
Shape = tuple[int, ...]


def shape_of(value: Any) -> Shape | None:
    """Return the shape of a value of the trace, or None if it is not a tensor of known shape."""
    return tuple(value.type().sizes()) if value.isCompleteTensor() else None


def shape(value: Any) -> Shape:
    """Return the shape of a value of the trace, or () if it is unknown."""
    return shape_of(value) or ()


def _convolution(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply the kernel's size by the number of outputs; if transposed, by that of inputs."""
    is_transposed = inputs[6].toIValue()
    positions = inputs[0] if is_transposed else outputs[0]
    return prod(shape(positions)) * prod(shape(inputs[1])[1:])


def _kernel(inputs: list[Any], outputs: list[Any]) -> int:
    return prod(shape(outputs[0])) * prod(shape(inputs[1])[1:])


def _time_batch_channels(inputs: list[Any], outputs: list[Any]) -> int:
    """Return the multiply-adds for a kernel with shape (taps, in channels, out channels)."""
    return prod(shape(outputs[0])) * prod(shape(inputs[1])[:-1])


def _product(first: int, summed: slice = slice(-1, None)) -> Formula:
    """Return a formula for a product that contracts some axes of the input at index `first`."""
    return lambda inputs, outputs: prod(shape(outputs[0])) * prod(shape(inputs[first])[summed])


def _addbmm(inputs: list[Any], outputs: list[Any]) -> int:
    batch, _, length = shape(inputs[1])
    return prod(shape(outputs[0])) * batch * length


def _tensordot(inputs: list[Any], outputs: list[Any]) -> int:
    axes: list[int] = [axis.toIValue() for axis in inputs[2].node().inputs()]
    return prod(shape(outputs[0])) * prod(shape(inputs[0])[axis] for axis in axes)


def _bilinear(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply a matrix by the second input for each output, and the first input by the result."""
    _, one, two = shape(inputs[2])
    return prod(shape(outputs[0])) * (one * two + one)


def _multi_dot(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply in the cheapest order, as PyTorch does; vectors at the ends are thin matrices."""
    shapes = [shape(value) for value in inputs[0].node().inputs()]
    sizes = [1] if len(shapes[0]) == 1 else [shapes[0][0]]
    sizes += [extents[-1] for extents in shapes[:-1]]
    sizes += [1 if len(shapes[-1]) == 1 else shapes[-1][1]]
    least: dict[tuple[int, int], int] = {(i, i + 1): 0 for i in range(len(shapes))}
    for span in range(2, len(shapes) + 1):
        for start in range(len(shapes) + 1 - span):
            end = start + span
            least[start, end] = min(
                least[start, cut] + least[cut, end] + sizes[start] * sizes[cut] * sizes[end]
                for cut in range(start + 1, end)
            )
    return least[0, len(shapes)]


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    """Contract pairs of operands in the order of the path, or from the left.

    An axis that only one operand of a pair has, and no later one, is summed first, without a
    multiply-add; a pair without contracted axes is multiplied elementwise, which is no MAC.
    """
    shapes = [shape(value) for value in inputs[1].node().inputs()]
    terms, result, sizes = _labelled(inputs[0].toIValue(), shapes)
    path = (inputs[2].toIValue() if len(inputs) > 2 else None) or []
    macs = 0
    while len(terms) > 1:
        (i, j), path = sorted(path[:2] or (0, 1)), path[2:]
        two, one = terms.pop(j), terms.pop(i)
        later = result.union(*terms)
        summed = (one & two) - later
        if summed:
            macs += prod(sizes[label] for label in (one & two) | ((one | two) & later))
        terms.append((one | two) & later)
    return macs


def _labelled(
    equation: str, shapes: list[Shape]
) -> tuple[list[frozenset[str]], frozenset[str], Mapping[str, int]]:
    """Return the labels of each operand and of the result, and their sizes; `...` is expanded."""
    operands, _, output = equation.replace(" ", "").partition("->")
    hidden = max(len(each) for each in shapes)
    terms, sizes = [], dict[str, int]()
    for term, extents in zip(operands.split(","), shapes, strict=True):
        num_hidden = len(extents) - len(term.replace("...", ""))
        before, dots, after = term.partition("...")
        labels = [*before, *_hidden(num_hidden, hidden), *after] if dots else [*term]
        for label, extent in zip(labels, extents, strict=True):
            sizes[label] = max(extent, sizes.get(label, 1))
        # A broadcast axis multiplies nothing.
        terms.append(frozenset(x for x, n in zip(labels, extents, strict=True) if n > 1))
    if "->" not in equation:
        seen = Counter(operands)
        output = "..." + "".join(label for label, times in seen.items() if times == 1)
    dotted = _hidden(hidden, hidden) if "..." in output else ()
    return terms, frozenset([*output.replace("...", ""), *dotted]), sizes


def _hidden(count: int, of: int) -> Iterable[str]:
    """Return labels for the last `count` of the `of` axes under an ellipsis."""
    return [f"...{of - count + index}" for index in range(count)]


def _recurrent(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply every weight matrix by every step of every sequence once."""
    lists = [v for v in inputs[1:4] if v.node().kind() == "prim::ListConstruct"]
    weights = [shape(value) for value in lists[-1].node().inputs()]
    return prod(shape(inputs[0])[:-1]) * sum(prod(each) for each in weights if len(each) == 2)


FORMULAS: dict[str, Formula] = {
    "aten::_convolution": _convolution,
    "aten::convolution": _convolution,
    "aten::_convolution_mode": _kernel,
    "aten::conv_tbc": _time_batch_channels,
    "torchvision::deform_conv2d": _kernel,
    "aten::linear": _product(0),
    "aten::matmul": _product(0),
    "aten::mm": _product(0),
    "aten::bmm": _product(0),
    "aten::mv": _product(0),
    "aten::dot": _product(0),
    "aten::vdot": _product(0),
    "aten::inner": _product(0),
    "aten::linalg_vecdot": _product(0),
    "aten::addmm": _product(1),
    "aten::addmv": _product(1),
    "aten::baddbmm": _product(1),
    "aten::addbmm": _addbmm,
    "aten::tensordot": _tensordot,
    "aten::bilinear": _bilinear,
    "aten::chain_matmul": _multi_dot,
    "aten::linalg_multi_dot": _multi_dot,
    "aten::einsum": _einsum,
    "aten::lstm": _recurrent,
    "aten::gru": _recurrent,
    "aten::rnn_tanh": _recurrent,
    "aten::rnn_relu": _recurrent,
}
