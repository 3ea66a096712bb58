"""Rules for the axes of an operator's result, one for each family of operators.

A rule takes the operator, the shapes and axes of its operands, and the shape of its result. An
operator without a rule keeps the axes whose size fits, as in broadcasting.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import Any

from bamctl.tracing.trace import Operator, Shape
from bamctl.trunk._axes import (
    OTHER,
    SHUFFLED,
    SPATIAL,
    TOKENS,
    UNKNOWN,
    Axes,
    Axis,
    Factor,
    knowledge,
    merged,
    resized,
)

Given = Sequence[tuple[Shape, Axes]]
Rule = Callable[[Operator, Given, Shape], Axes]


def kept(_: Operator, given: Given, shape: Shape) -> Axes:
    """Return the axes of the operands, aligned at the last as in broadcasting."""
    if len(given[0][0]) > len(shape):
        return unknown(shape)
    return tuple(_best(index - len(shape), size, given) for index, size in enumerate(shape))


def _best(index: int, size: int, given: Given) -> Axis:
    """Return the most specific axis among operands, of those that are not broadcast if any."""
    known = [(before[index], axes[index]) for before, axes in given if -index <= len(before)]
    fitting = [axis for length, axis in known if length == size]
    if fitting:
        return max(fitting, key=knowledge)
    return resized(max((axis for _, axis in known), key=knowledge, default=()), size)


def unknown(shape: Shape) -> Axes:
    """Return axes of which only the sizes are known."""
    return tuple((Factor(UNKNOWN, size),) for size in shape)


def _transposed(operator: Operator, given: Given, shape: Shape) -> Axes:
    axes = list(given[0][1])
    dims = [dim % len(axes) for dim in operator.ints if isinstance(dim, int)] or [-1, -2]
    axes[dims[0]], axes[dims[1]] = axes[dims[1]], axes[dims[0]]
    return tuple(axes)


def _permuted(operator: Operator, given: Given, shape: Shape) -> Axes:
    order = next(ints for ints in operator.ints if isinstance(ints, tuple))
    return tuple(given[0][1][dim] for dim in order)


def _moved(operator: Operator, given: Given, shape: Shape) -> Axes:
    rank = len(shape)
    dims = [d for ints in operator.ints for d in (ints if isinstance(ints, tuple) else (ints,))]
    half = len(dims) // 2
    source, target = ([dim % rank for dim in part] for part in (dims[:half], dims[half:]))
    rest = iter(axis for index, axis in enumerate(given[0][1]) if index not in source)
    placed = {to: given[0][1][of] for of, to in zip(source, target, strict=True)}
    return tuple(placed[index] if index in placed else next(rest) for index in range(rank))


def _reshaped(_: Operator, given: Given, shape: Shape) -> Axes:
    """Split and join factors to fit the new sizes; an uneven split makes all axes unknown."""
    before, axes = given[0]
    if before == shape:
        return axes
    if 0 in shape:  # a detector without detections
        return unknown(shape)
    left = list(merged(tuple(chain.from_iterable(axes))))
    reshaped = [_take(left, size) for size in shape]
    if left and reshaped:
        reshaped[-1] = (*reshaped[-1], *left)
    uneven = any(
        axis is not None and prod(f.size for f in axis) != size
        for axis, size in zip(reshaped, shape, strict=True)
    )
    return unknown(shape) if uneven else tuple(reshaped)


def _take(left: list[Factor], size: int) -> Axis:
    """Remove the first factors that make up an axis of this size from a list; return them."""
    taken: list[Factor] = []
    while left and (size > 1 or (left[0].size == 1 and not taken)):
        factor = left.pop(0)
        if size % factor.size == 0:
            taken.append(factor)
            size //= factor.size
        elif factor.size % size == 0 and factor.name != TOKENS:
            rest = factor.size // size
            taken.append(replace(factor, size=size, step=factor.step * rest))
            left.insert(0, replace(factor, size=rest))
            size = 1
        else:
            return (*taken, factor)
    return tuple(taken)


def _reduced(operator: Operator, given: Given, shape: Shape) -> Axes:
    before, axes = given[0]
    if len(before) == len(shape):
        return kept(operator, given, shape)
    dims = named_dims(operator, len(before))
    left = without(axes, dims)
    return left if len(left) == len(shape) else unknown(shape)


def _selected(operator: Operator, given: Given, shape: Shape) -> Axes:
    return without(given[0][1], named_dims(operator, len(given[0][0]))[:1])


def _joined(operator: Operator, given: Given, shape: Shape) -> Axes:
    dim = _last_dim(operator, len(shape))
    axes = list(kept(operator, given, shape))
    parts = [merged(each[dim]) for _, each in given if len(each) == len(shape)]
    axes[dim] = _joined_axis(parts, shape[dim])
    return tuple(axes)


def _joined_axis(parts: Sequence[Axis], size: int) -> Axis:
    spatial = [part for part in parts if any(factor.is_spatial for factor in part)]
    if not spatial:
        return (Factor(OTHER, size),)
    tokens = spatial[0]
    if tokens[0].name in SPATIAL and all(_are_alike(part, tokens) for part in spatial):
        return (replace(tokens[0], size=size),)
    if len(spatial) > 1 or parts[-1] != tokens:
        return (Factor(SHUFFLED, size),)
    prefix = size - prod(factor.size for factor in tokens)
    if tokens[0].name == TOKENS:
        return (replace(tokens[0], size=size, prefix=tokens[0].prefix + prefix),)
    return (Factor(TOKENS, size, grid=tokens, prefix=prefix),)


def _are_alike(one: Axis, other: Axis) -> bool:
    """Return whether both are the same whole axis of the image, of any length."""
    return len(one) == len(other) == 1 and one[0].name == other[0].name


def _stacked(operator: Operator, given: Given, shape: Shape) -> Axes:
    dim = _last_dim(operator, len(shape))
    axes = list(given[0][1])
    axes.insert(dim, (Factor(OTHER, shape[dim]),))
    return tuple(axes)


def _convolved(operator: Operator, given: Given, shape: Shape) -> Axes:
    axes = kept(operator, given[:1], shape)
    return (axes[0], (Factor(OTHER, shape[1]),), *axes[2:])


def _linear(operator: Operator, given: Given, shape: Shape) -> Axes:
    axes = kept(operator, given[:1], shape)
    return (*axes[:-1], (Factor(OTHER, shape[-1]),))


def _multiplied(operator: Operator, given: Given, shape: Shape) -> Axes:
    """Take the rows from the first matrix and the columns from the second."""
    axes = list(kept(operator, given[-2:], shape))
    if len(given) >= 2 and len(shape) >= 2:
        first, second = given[-2], given[-1]
        for index, (before, own) in ((-2, first), (-1, second)):
            axes[index] = own[index] if len(before) >= 2 else (Factor(OTHER, shape[index]),)
        return tuple(axes)
    return (*axes[:-1], (Factor(OTHER, shape[-1]),))


def _attended(operator: Operator, given: Given, shape: Shape) -> Axes:
    return (*given[0][1][:-1], (Factor(OTHER, shape[-1]),))


def _picked(operator: Operator, given: Given, shape: Shape) -> Axes:
    axes = kept(operator, given[:1], shape)
    return tuple(
        (Factor(SHUFFLED, size),) if any(factor.is_spatial for factor in axis) else axis
        for axis, size in zip(axes, shape, strict=True)
    )


def _unfolded(operator: Operator, given: Given, shape: Shape) -> Axes:
    """Make one token for each position of the window."""
    kernel, dilation, padding, stride = (ints for ints in operator.ints if isinstance(ints, tuple))
    extents = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, d, p, s in zip(given[0][0][2:], kernel, dilation, padding, stride, strict=True)
    ]
    names = zip(("h", "w"), extents, strict=True)
    return ((), (Factor(OTHER, shape[1]),), tuple(Factor(name, size) for name, size in names))


def _folded(_: Operator, given: Given, shape: Shape) -> Axes:
    extents = (((Factor(name, size)),) for name, size in zip(("h", "w"), shape[2:], strict=True))
    return (given[0][1][0], (Factor(OTHER, shape[1]),), *extents)


# `OperatorKind.axes` names the rule; `split` is missing, since it makes lists without axes.
RULES: dict[str, Rule] = {
    "kept": kept,
    "transposed": _transposed,
    "permuted": _permuted,
    "moved": _moved,
    "reshaped": _reshaped,
    "reduced": _reduced,
    "selected": _selected,
    "joined": _joined,
    "stacked": _stacked,
    "convolved": _convolved,
    "linear": _linear,
    "multiplied": _multiplied,
    "attended": _attended,
    "picked": _picked,
    "unfolded": _unfolded,
    "folded": _folded,
    "unknown": lambda operator, given, shape: unknown(shape),
}


def named_dims(operator: Operator, rank: int) -> tuple[int, ...]:
    """Return the dims of an operator: its first list of integers, or else its first integer."""
    listed = next((ints for ints in operator.ints if isinstance(ints, tuple)), None)
    dims = operator.ints[:1] if listed is None else listed
    return tuple(dim % rank for dim in dims if isinstance(dim, int))


def _last_dim(operator: Operator, rank: int) -> int:
    """Return the dim along which tensors are joined: the last integer argument."""
    return next((dim % rank for dim in reversed(operator.ints) if isinstance(dim, int)), 0)


def without(items: Sequence[Any], dims: Iterable[int]) -> tuple[Any, ...]:
    """Return a shape, or the axes of a value, without some of its axes."""
    dropped = set(dims)
    return tuple(item for index, item in enumerate(items) if index not in dropped)
