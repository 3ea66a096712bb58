"""From the cut points of a trunk to its blocks, its stages and its bottlenecks."""

from collections import Counter
from collections.abc import Iterator, Sequence

from torch import nn

from bamctl.cut_points import CutPoint, Stage
from bamctl.dataflow import GLOBAL_POOLING
from bamctl.feature_maps import FeatureMap
from bamctl.tracing import Operator, Trace

# A side of the map that shrinks by this much starts a new stage; a trimmed pixel does not.
STAGE_DROP = 1.5

# Backbones end at an output stride of 32. What a detector adds beyond are levels for large objects,
# a convolution each; their maps of a few pixels leave a dilated kernel nothing but its centre.
_MAX_BACKBONE_STRIDE = STAGE_DROP * 32

_WINDOWS = frozenset(
    f"aten::{kind}" for kind in "avg_pool2d max_pool2d max_pool2d_with_indices avg_pool3d".split()
)
_CONV_OR_LINEAR = (nn.modules.conv._ConvNd, nn.Linear)


def blocks(model: nn.Module, names: Sequence[str]) -> frozenset[str]:
    """Of the modules that return a trunk map, those that a person would call a block."""
    composite = [name for name in names if _is_composite(model.get_submodule(name))]
    held: dict[str, Counter[type]] = {name: Counter() for name in composite}
    for name in composite:
        for outer in _ancestors(name):
            if outer in held:
                held[outer][type(model.get_submodule(name))] += 1
    single = {name for name in composite if max(held[name].values(), default=0) < 2}
    return frozenset(name for name in single if single.isdisjoint(_ancestors(name)))


def _is_composite(module: nn.Module) -> bool:
    if type(module).forward in (nn.Sequential.forward, nn.Module.forward):
        return False
    layers = (inner for inner in module.modules() if isinstance(inner, _CONV_OR_LINEAR))
    return sum(1 for _ in layers) >= 2


def _ancestors(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def without_head(points: dict[int, CutPoint], trace: Trace) -> list[CutPoint]:
    """The points, by their values, before the global pooling, which is no stage.

    A window that happens to cover the whole map is taken for one only where no block follows.
    """
    producers = {value: op for op in trace.operators for value in op.outputs}
    found = list(points.values())
    last_block = max((i for i, point in enumerate(found) if point.block), default=-1)
    for index, (value, point) in enumerate(points.items()):
        if (point.map.height, point.map.width) != (1, 1):
            continue
        reducer = _reducer(value, producers, trace)
        if reducer in GLOBAL_POOLING or (reducer in _WINDOWS and index > last_block):
            return found[:index]
    return found


def _reducer(value: int, producers: dict[int, Operator], trace: Trace) -> str | None:
    """The kind of operator that left one pixel of a map, which others may have changed since."""
    while value in producers:
        operator = producers[value]
        before = trace.shapes.get(operator.inputs[0], ())
        if before[2:] != (1,) * len(before[2:]) and before[1:-1] != (1,) * len(before[1:-1]):
            return operator.kind
        value = operator.inputs[0]
    return None


def stages(points: Sequence[CutPoint], *, is_pyramid: bool) -> Iterator[Stage]:
    """The runs of points of one resolution, each with its bottleneck.

    Args:
        points: of a trunk, in the order of the forward pass.
        is_pyramid: whether the trunk returns the maps of several stages, as a detector's does.
    """
    runs: list[list[CutPoint]] = []
    for point in points:
        if runs and not _drops(runs[-1][-1].map, point.map):
            runs[-1].append(point)
        else:
            runs.append([point])
    with_blocks = [index for index, run in enumerate(runs) if any(point.block for point in run)]
    for index, run in enumerate(runs):
        is_stem, is_last = index < min(with_blocks, default=0), index == len(runs) - 1
        # In a network without blocks, any map may be the last of its stage.
        ends = [point for point in run if point.block or not with_blocks]
        beyond = run[-1] if is_last else runs[index + 1][0]
        is_extra = is_pyramid and not with_blocks and beyond.reduction > _MAX_BACKBONE_STRIDE
        bottleneck = ends[-1] if ends and not is_last and not is_extra else None
        yield Stage(tuple(run), is_stem, is_last, bottleneck, is_extra)


def _drops(before: FeatureMap, after: FeatureMap) -> bool:
    ratios = (before.height / after.height, before.width / after.width)
    return max(ratios) >= STAGE_DROP
