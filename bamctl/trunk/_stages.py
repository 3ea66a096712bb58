"""Stages and bottlenecks, from the cut points of a trunk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from bamctl.tracing.operators import OperatorKind, of
from bamctl.tracing.trace import Operator, Shape, Trace
from bamctl.trunk._blocks import STAGE_DROP, drop, has_kernel
from bamctl.trunk.cut_points import CutPoint, Stage

# Backbones end at an output stride of 32. A detector adds levels for large objects beyond that, one
# convolution each; on their maps of a few pixels a dilated kernel sees nothing but its centre.
_MAX_BACKBONE_STRIDE = STAGE_DROP * 32


@dataclass(frozen=True)
class Course:
    """Facts about the cut points of a trunk that decide where its stages end.

    `listed` are modules that end a stage without being blocks. `leaving` are the modules whose map
    is also read off the trunk, by a decoder or another level of a pyramid. `is_pyramid` is true if
    the trunk returns the maps of several stages, as a detector's does.
    """

    listed: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()
    is_pyramid: bool = False

    def ends_stage(self, point: CutPoint) -> bool:
        """Return whether a stage may end with a point."""
        return point.block is not None or not self.listed.isdisjoint(point.aliases)

    def end(self, run: Sequence[CutPoint], last: CutPoint) -> CutPoint:
        """Return the last block's point, or a later one (of a norm) that a decoder takes."""
        behind = run[run.index(last) :]
        return next((p for p in reversed(behind) if p.module in self.leaving), last)


def without_head(
    points: dict[int, CutPoint], trace: Trace, model: nn.Module
) -> dict[int, CutPoint]:
    """Return the points before the head, by their values.

    The head starts with a global pooling, with a pooling to a few pixels that no block follows, or
    with a window or kernel that covers the whole map and is followed by pointwise layers only.
    """
    producers = {value: op for op in trace.operators for value in op.outputs}
    items = list(points.items())
    for index, (value, point) in enumerate(items):
        one_pixel = point.map.num_pixels == 1
        shrinkage = drop(items[index - 1][1].map, point.map) if index else 1.0
        if not one_pixel and shrinkage < STAGE_DROP:
            continue
        reducer = _reducer(value, producers, trace)
        # In a network without blocks, a convolution over the whole map is an ordinary layer.
        convolves = reducer.convolves and any(each.block for _, each in items)
        covers = reducer.windows or (convolves and shrinkage > 2 * STAGE_DROP)
        if one_pixel and reducer.pools:
            return dict(items[:index])
        following = [each for _, each in items[index:]]
        if one_pixel and covers:
            is_head = not any(_works_on_map(each, point, model) for each in following)
        else:
            is_head = reducer.pools and not any(each.block for each in following)
        if is_head:
            return dict(items[:index])
    return points


def _works_on_map(point: CutPoint, reduced: CutPoint, model: nn.Module) -> bool:
    """Return whether a point ends a block that works on a map, other than the reducing one."""
    if point.block is None or any(name.startswith(f"{point.block}.") for name in reduced.aliases):
        return False
    return point.map.num_pixels > 1 or has_kernel(model.get_submodule(point.block))


def _reducer(value: int, producers: dict[int, Operator], trace: Trace) -> OperatorKind:
    """Return the properties of the last operator that changed the extents of a map."""
    while value in producers:
        operator = producers[value]
        before, after = (trace.shapes.get(each, ()) for each in (operator.inputs[0], value))
        if all(_extents(before, axes) != _extents(after, axes) for axes in _EITHER_LAYOUT):
            return of(operator.kind)
        value = operator.inputs[0]
    return OperatorKind()


_EITHER_LAYOUT = (slice(2, None), slice(1, -1))


def _extents(shape: Shape, axes: slice) -> Shape:
    return tuple(size for size in shape[axes] if size != 1)


def stages(points: Sequence[CutPoint], course: Course) -> Iterator[Stage]:
    """Yield the stages: runs of points of one resolution, each with its bottleneck.

    Args:
        points: the cut points of a trunk, in the order of the forward pass.
        course: facts that decide where stages end.
    """
    runs: list[list[CutPoint]] = []
    for point in points:
        if runs and drop(runs[-1][-1].map, point.map) < STAGE_DROP:
            runs[-1].append(point)
        else:
            runs.append([point])
    ends = [[point for point in run if course.ends_stage(point)] for run in runs]
    with_ends = [index for index, ending in enumerate(ends) if ending]
    for index, run in enumerate(runs):
        is_stem, is_last = index < min(with_ends, default=0), index == len(runs) - 1
        # In a network without blocks, any map may be the last of its stage.
        ended = ends[index] if with_ends else run
        beyond = run[-1] if is_last else runs[index + 1][0]
        is_extra = course.is_pyramid and not with_ends and beyond.reduction > _MAX_BACKBONE_STRIDE
        bottleneck = course.end(run, ended[-1]) if ended and not is_last and not is_extra else None
        yield Stage(tuple(run), is_stem, is_last, bottleneck, is_extra)
