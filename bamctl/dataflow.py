"""What a trace's dataflow graph says: what lies between two values, and what was pooled away."""

from collections.abc import Collection

from bamctl.feature_maps import FeatureMap
from bamctl.tracing import Trace

GLOBAL_POOLING = frozenset(
    f"aten::{kind}"
    for kind in (
        "adaptive_avg_pool2d adaptive_max_pool2d adaptive_avg_pool3d adaptive_max_pool3d mean amax "
        "sum"
    ).split()
)


def depths(trace: Trace, source: int) -> dict[int, int]:
    """The values that can be reached from one, and the most operators that lie between."""
    depth = {source: 0}
    for operator in trace.operators:
        before = [depth[value] for value in operator.inputs if value in depth]
        if before:
            depth |= dict.fromkeys(operator.outputs, max(before) + 1)
    return depth


def cut_vertices(
    trace: Trace, source: int, target: int, reached_from_source: Collection[int]
) -> list[int]:
    """The values that every path from the source to the target passes through, without the source.

    In topological order, a value is one exactly if no edge that starts before it ends after it.
    """
    on_path = _needed_for(trace, target).intersection(reached_from_source)
    produced = (value for operator in trace.operators for value in operator.outputs)
    order = [source, *(value for value in produced if value in on_path and value != source)]
    position = {value: index for index, value in enumerate(order)}
    last_use = dict.fromkeys(order, 0)
    for operator in trace.operators:
        ends = [position[value] for value in operator.outputs if value in position]
        for value in position.keys() & operator.inputs:
            last_use[value] = max(last_use[value], *ends, 0)
    cuts, reached = [], 0
    for index, value in enumerate(order):
        if reached <= index and value != source:
            cuts.append(value)
        reached = max(reached, last_use[value])
    return cuts


def _needed_for(trace: Trace, target: int) -> set[int]:
    needed = {target}
    for operator in reversed(trace.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
    return needed


def pooled(trace: Trace, maps: dict[int, FeatureMap]) -> set[int]:
    """The maps that a global pooling shrank, and those that were made of such alone."""
    found: set[int] = set()
    for operator in trace.operators:
        before = [value for value in operator.inputs if value in maps]
        after = [value for value in operator.outputs if value in maps]
        if not before or not after:
            continue
        shrinks = maps[after[0]].num_pixels < maps[before[0]].num_pixels
        if found.issuperset(before) or (operator.kind in GLOBAL_POOLING and shrinks):
            found.update(after)
    return found
