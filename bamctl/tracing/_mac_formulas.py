"""Multiply-adds of the operators that convolve, multiply matrices or attend, one as 1.

Every formula takes the inputs and outputs of an operator as the trace has them. Those of matrix
products are the number of results times the length of the sum that makes each.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

Formula = Callable[[list[Any], list[Any]], int]
Shape = tuple[int, ...]


def shape_of(value: Any) -> Shape | None:
    """Return the shape of a value of the trace, or None where it is not a tensor of known shape."""
    return tuple(value.type().sizes()) if value.isCompleteTensor() else None


def shape(value: Any) -> Shape:
    """Return the shape of a value of the trace, which has no axes where it is not known."""
    return shape_of(value) or ()


def _convolution(inputs: list[Any], outputs: list[Any]) -> int:
    """Each result sums over a kernel; transposed, each input is spread over one."""
    is_transposed = inputs[6].toIValue()
    positions = inputs[0] if is_transposed else outputs[0]
    return prod(shape(positions)) * prod(shape(inputs[1])[1:])


def _kernel(inputs: list[Any], outputs: list[Any]) -> int:
    return prod(shape(outputs[0])) * prod(shape(inputs[1])[1:])


def _time_batch_channels(inputs: list[Any], outputs: list[Any]) -> int:
    """Return the kernel has shape (taps, channels in, channels out)."""
    return prod(shape(outputs[0])) * prod(shape(inputs[1])[:-1])


def _product(first: int, summed: slice = slice(-1, None)) -> Formula:
    """Return a formula for two tensors, the one at position `first` summed over some axes."""
    return lambda inputs, outputs: prod(shape(outputs[0])) * prod(shape(inputs[first])[summed])


def _addbmm(inputs: list[Any], outputs: list[Any]) -> int:
    batch, _, length = shape(inputs[1])
    return prod(shape(outputs[0])) * batch * length


def _tensordot(inputs: list[Any], outputs: list[Any]) -> int:
    axes: list[int] = [axis.toIValue() for axis in inputs[2].node().inputs()]
    return prod(shape(outputs[0])) * prod(shape(inputs[0])[axis] for axis in axes)


def _bilinear(inputs: list[Any], outputs: list[Any]) -> int:
    """A matrix times the second input, for each output, and then the first input times that."""
    _, one, two = shape(inputs[2])
    return prod(shape(outputs[0])) * (one * two + one)


def _multi_dot(inputs: list[Any], outputs: list[Any]) -> int:
    """In the cheapest order, which PyTorch looks for; vectors at the ends are thin matrices."""
    shapes = [shape(value) for value in inputs[0].node().inputs()]
    sizes = [1] if len(shapes[0]) == 1 else [shapes[0][0]]
    sizes += [each[-1] for each in shapes[:-1]]
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
    """Pairs are contracted in the order of the path, or from the left.

    What is in one of a pair alone and in nothing that follows is summed first, which multiplies
    nothing; a pair with nothing to sum is multiplied element by element.
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
    """The labels of each operand and of the result, and their sizes; axes under `...` get some."""
    given, _, made = equation.replace(" ", "").partition("->")
    hidden = max(len(each) for each in shapes)
    terms, sizes = [], dict[str, int]()
    for term, extents in zip(given.split(","), shapes, strict=True):
        num_hidden = len(extents) - len(term.replace("...", ""))
        before, dots, after = term.partition("...")
        labels = [*before, *_hidden(num_hidden, hidden), *after] if dots else [*term]
        for label, extent in zip(labels, extents, strict=True):
            sizes[label] = max(extent, sizes.get(label, 1))
        # What is broadcast is not there.
        terms.append(frozenset(x for x, n in zip(labels, extents, strict=True) if n > 1))
    if "->" not in equation:
        seen = Counter(given)
        made = "..." + "".join(label for label, times in seen.items() if times == 1)
    dotted = _hidden(hidden, hidden) if "..." in made else ()
    return terms, frozenset([*made.replace("...", ""), *dotted]), sizes


def _hidden(count: int, of: int) -> Iterable[str]:
    """Labels of the last axes under an ellipsis."""
    return [f"...{of - count + index}" for index in range(count)]


def _recurrent(inputs: list[Any], outputs: list[Any]) -> int:
    """Every weight matrix multiplies every step of every sequence once."""
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
