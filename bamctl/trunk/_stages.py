"""Stages and bottlenecks, from the cut points of a trunk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from bamctl.tracing.operators import OperatorKind, of
from bamctl.tracing.trace import Operator, Shape, Trace
from bamctl.trunk._blocks import STAGE_DROP, drop, has_kernel
from bamctl.trunk.cut_points import CutPoint, Stage

# Backbones end at an output stride of 32. What a detector adds beyond are levels for large objects,
# a convolution each; their maps of a few pixels leave a dilated kernel nothing but its centre.
_MAX_BACKBONE_STRIDE = STAGE_DROP * 32


@dataclass(frozen=True)
class Course:
    """Facts about the points of a trunk.

    `listed` are modules that end a stage without being blocks, `leaving` the modules whose map
    leaves the trunk as well, for a decoder or another level of a pyramid. `is_pyramid` tells that
    the trunk returns the maps of several stages, as a detector's does.
    """

    listed: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()
    is_pyramid: bool = False

    def ends_stage(self, point: CutPoint) -> bool:
        """Return whether a stage may end with a point."""
        return point.block is not None or not self.listed.isdisjoint(point.aliases)

    def end(self, run: Sequence[CutPoint], last: CutPoint) -> CutPoint:
        """The last block's point, or one behind it, such as a norm's, that a decoder takes."""
        behind = run[run.index(last) :]
        return next((p for p in reversed(behind) if p.module in self.leaving), last)


def without_head(
    points: dict[int, CutPoint], trace: Trace, model: nn.Module
) -> dict[int, CutPoint]:
    """The points, by their values, before the global pooling, which is no stage.

    Neither is a pooling to a few parts that no block follows, nor a window or a kernel that covers
    the whole map where only layers that look at one pixel follow.
    """
    producers = {value: op for op in trace.operators for value in op.outputs}
    found = list(points.items())
    for index, (value, point) in enumerate(found):
        one_pixel = point.map.num_pixels == 1
        shrinkage = drop(found[index - 1][1].map, point.map) if index else 1.0
        if not one_pixel and shrinkage < STAGE_DROP:
            continue
        reducer = _reducer(value, producers, trace)
        # Without blocks, a convolution over the whole map is one layer like the others.
        convolves = reducer.convolves and any(each.block for _, each in found)
        covers = reducer.windows or (convolves and shrinkage > 2 * STAGE_DROP)
        if one_pixel and reducer.pools:
            return dict(found[:index])
        following = [each for _, each in found[index:]]
        if one_pixel and covers:
            is_head = not any(_works_on_map(each, point, model) for each in following)
        else:
            is_head = reducer.pools and not any(each.block for each in following)
        if is_head:
            return dict(found[:index])
    return points


def _works_on_map(point: CutPoint, reduced: CutPoint, model: nn.Module) -> bool:
    """Return whether a point ends a block for a map, other than the one that reduced it."""
    if point.block is None or any(name.startswith(f"{point.block}.") for name in reduced.aliases):
        return False
    return point.map.num_pixels > 1 or has_kernel(model.get_submodule(point.block))


def _reducer(value: int, producers: dict[int, Operator], trace: Trace) -> OperatorKind:
    """The operator that made a map as small as it is; others may have changed it since."""
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
    """The runs of points of one resolution, each with its bottleneck.

    Args:
        points: of a trunk, in the order of the forward pass.
        course: what else is known of them.
    """
    runs: list[list[CutPoint]] = []
    for point in points:
        if runs and drop(runs[-1][-1].map, point.map) < STAGE_DROP:
            runs[-1].append(point)
        else:
            runs.append([point])
    ends = [[point for point in run if course.ends_stage(point)] for run in runs]
    with_ends = [index for index, found in enumerate(ends) if found]
    for index, run in enumerate(runs):
        is_stem, is_last = index < min(with_ends, default=0), index == len(runs) - 1
        # In a network without blocks, any map may be the last of its stage.
        own = ends[index] if with_ends else run
        beyond = run[-1] if is_last else runs[index + 1][0]
        is_extra = course.is_pyramid and not with_ends and beyond.reduction > _MAX_BACKBONE_STRIDE
        found = course.end(run, own[-1]) if own and not is_last and not is_extra else None
        yield Stage(tuple(run), is_stem, is_last, found, is_extra)
