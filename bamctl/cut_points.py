"""Cut points, blocks, stages and bottlenecks of a network, found from its trace.

Nothing here knows a network by name. A cut point is a feature map that every path from the input
to the output passes through; the rest follows from the modules that these maps leave.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from bamctl.attention.hook import HOLDER
from bamctl.attention.layouts import Layout, Nchw, Nhwc, Tokens
from bamctl.channel_axes import channel_axes
from bamctl.errors import InputError, did_you_mean
from bamctl.tracing import ModuleCall, Operator, Shape, Trace

# A side of the map that shrinks by this much starts a new stage; a trimmed pixel does not.
STAGE_DROP = 1.5

_GLOBAL_POOLING = frozenset(
    f"aten::{kind}" for kind in "adaptive_avg_pool2d adaptive_max_pool2d mean amax sum".split()
)
_WINDOWS = frozenset({"aten::avg_pool2d", "aten::max_pool2d", "aten::max_pool2d_with_indices"})
_CONV_OR_LINEAR = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True)
class FeatureMap:
    """The extents of a map of one image, and how its axes are ordered."""

    layout: Layout
    num_channels: int
    height: int
    width: int

    @property
    def area(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    @property
    def shape(self) -> Shape:
        """The shape of the tensor, without the batch."""
        return self.layout.shape(self.num_channels, self.height, self.width)


@dataclass(frozen=True)
class CutPoint:
    """A feature map that a module returns.

    `module` is the outermost module that returns it, `aliases` are all that do, and `position`
    orders the points as the forward pass does. `block` is the block that it ends, if any, and
    `repeatable` whether that block took a map of the shape that it returned. `reduction` is the
    output stride.
    """

    module: str
    aliases: tuple[str, ...]
    position: int
    block: str | None
    repeatable: bool
    map: FeatureMap
    reduction: int


@dataclass(frozen=True)
class Stage:
    """A run of cut points of one resolution; `bottleneck` is the one before the next drop."""

    points: tuple[CutPoint, ...]
    is_stem: bool
    is_last: bool
    bottleneck: CutPoint | None

    @property
    def blocks(self) -> tuple[CutPoint, ...]:
        """The points that end a block."""
        return tuple(point for point in self.points if point.block)

    @property
    def end(self) -> CutPoint:
        """The last block's point, or the last point of a stage without blocks."""
        return (self.blocks or self.points)[-1]


@dataclass(frozen=True)
class Trunk:
    """The cut points of a network in the order of its forward pass, and what they make up.

    `side_points` has the feature maps off the trunk, by the module that returns them, and
    `num_calls` how often each module is called in one forward pass.
    """

    points: tuple[CutPoint, ...]
    stages: tuple[Stage, ...]
    side_points: dict[str, CutPoint]
    num_calls: dict[str, int]

    @property
    def blocks(self) -> tuple[CutPoint, ...]:
        """The points that end a block."""
        return tuple(point for point in self.points if point.block)

    def bottlenecks(self, stages: int | Literal["all"] = 3) -> tuple[CutPoint, ...]:
        """The deepest bottlenecks, three by default as in figure 1 of the paper."""
        found = tuple(stage.bottleneck for stage in self.stages if stage.bottleneck)
        return found if stages == "all" else found[-stages:]

    def point(self, module: str) -> CutPoint:
        """The feature map that a module returns, on the trunk or off it.

        Raises:
            InputError: there is no such module, it does not run exactly once, or what it returns
                is no feature map.
        """
        if module not in self.num_calls or not module:
            near = did_you_mean(module, self.num_calls) or "; `bamctl analyze --format csv` has all"
            raise InputError(f"no module {module!r} in the network{near}")
        if self.num_calls[module] != 1:
            times = f"{self.num_calls[module]} times" if self.num_calls[module] else "never"
            raise InputError(f"module {module!r} is called {times} in a forward pass, not once")
        on_trunk = next((point for point in self.points if module in point.aliases), None)
        found = on_trunk or self.side_points.get(module)
        if found is None:
            raise InputError(f"module {module!r} does not return one feature map")
        return found


def find_trunk(model: nn.Module, trace: Trace) -> Trunk:
    """Find the cut points of a traced network, its blocks, its stages and its bottlenecks."""
    maps = _feature_maps(trace)
    num_calls = Counter(call.module for call in trace.calls)
    returned = _returned(trace, maps, num_calls)
    cuts = [value for value in _cut_vertices(trace) if value in returned]
    blocks = _blocks(model, [call.module for value in cuts for call in returned[value]])
    points = {
        value: _point(calls, blocks, maps[value], position, trace)
        for position, (value, calls) in enumerate(returned.items())
    }
    trunk = _without_head([(value, points[value]) for value in cuts], trace)
    return Trunk(
        points=trunk,
        stages=tuple(_stages(trunk)),
        side_points={
            call.module: points[value]
            for value, calls in returned.items()
            if points[value] not in trunk
            for call in calls
        },
        num_calls={name: num_calls[name] for name, _ in model.named_modules()},
    )


def _returned(
    trace: Trace, maps: dict[int, FeatureMap], num_calls: Counter[str]
) -> dict[int, list[ModuleCall]]:
    """The feature maps that modules return, and the calls that do, the innermost first."""
    returned: dict[int, list[ModuleCall]] = {}
    for call in trace.calls:
        own = call.module and HOLDER not in call.module.split(".")
        # What a module only hands on (an Identity) is not its own: others may take it elsewhere.
        made = call.output is not None and call.output != call.input
        if own and made and num_calls[call.module] == 1 and call.output in maps:
            returned.setdefault(call.output, []).append(call)
    return returned


def _cut_vertices(trace: Trace) -> list[int]:
    """The values that every path from the input to the deepest output passes through.

    In topological order, a value is one exactly if no edge that starts before it ends after it.
    """
    on_path = _values_on_paths(trace)
    produced = (value for operator in trace.operators for value in operator.outputs)
    order = [value for value in (*trace.inputs, *produced) if value in on_path]
    position = {value: index for index, value in enumerate(order)}
    last_use = dict.fromkeys(order, 0)
    for operator in trace.operators:
        ends = [position[value] for value in operator.outputs if value in position]
        for value in position.keys() & operator.inputs:
            last_use[value] = max(last_use[value], *ends, 0)
    cuts, reached = [], 0
    for index, value in enumerate(order):
        if reached <= index:
            cuts.append(value)
        reached = max(reached, last_use[value])
    return cuts


def _values_on_paths(trace: Trace) -> set[int]:
    depth = dict.fromkeys(trace.inputs, 0)
    for operator in trace.operators:
        depths = [depth[value] for value in operator.inputs if value in depth]
        if depths:
            depth |= dict.fromkeys(operator.outputs, max(depths) + 1)
    # Auxiliary heads return early; the network's own answer is the deepest output.
    outputs = [value for value in trace.outputs if value in depth]
    needed = {max(outputs, key=depth.__getitem__)} if outputs else set()
    for operator in reversed(trace.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
    return needed & depth.keys()


def _feature_maps(trace: Trace) -> dict[int, FeatureMap]:
    axes = channel_axes(trace)
    maps: dict[int, FeatureMap] = {}
    latest: FeatureMap | None = None
    for value in (value for operator in trace.operators for value in operator.outputs):
        batch, *shape = trace.shapes.get(value) or (0,)
        if latest and value not in axes and tuple(shape) == latest.shape:
            # Windows put back together: the shape of the map that they were cut from is its layout.
            found: FeatureMap | None = latest
        else:
            found = _feature_map((batch, *shape), axes.get(value), latest)
        if found and batch == trace.input_shape[0]:
            maps[value] = latest = found
    return maps


def _feature_map(shape: Shape, axis: int | None, before: FeatureMap | None) -> FeatureMap | None:
    match shape, axis:
        case (_, channels, height, width), 1:
            found = FeatureMap(Nchw(), channels, height, width)
        case (_, height, width, channels), 3:
            found = FeatureMap(Nhwc(), channels, height, width)
        case (_, length, channels), 2 if before and before.area <= length < 2 * before.area:
            # Patches keep the grid of the map that they were cut from; what is more is prefix.
            layout = Tokens(before.height, before.width, length - before.area)
            return FeatureMap(layout, channels, before.height, before.width)
        case _:
            return None
    # As many pixels in another grid are windows cut from the map, in no order of the image.
    is_windows = before and found.area == before.area and found.height != before.height
    return None if is_windows else found


def _point(
    calls: list[ModuleCall], blocks: frozenset[str], found: FeatureMap, position: int, trace: Trace
) -> CutPoint:
    names = tuple(call.module for call in calls)
    block = next((call for call in calls if call.module in blocks), None)
    return CutPoint(
        module=min(names, key=lambda name: name.count(".")),
        aliases=names,
        position=position,
        block=block.module if block else None,
        repeatable=block is not None and _keeps_shape(block, trace),
        map=found,
        reduction=max(1, round(trace.input_shape[2] / found.height)),
    )


def _keeps_shape(call: ModuleCall, trace: Trace) -> bool:
    taken, returned = (trace.shapes.get(-1 if v is None else v) for v in (call.input, call.output))
    return taken is not None and taken == returned


def _blocks(model: nn.Module, names: list[str]) -> frozenset[str]:
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


def _without_head(points: list[tuple[int, CutPoint]], trace: Trace) -> tuple[CutPoint, ...]:
    """The points before the global pooling, which is no stage.

    A window that happens to cover the whole map is taken for one only where no block follows.
    """
    producers = {value: op for op in trace.operators for value in op.outputs}
    last_block = max((i for i, (_, point) in enumerate(points) if point.block), default=-1)
    for index, (value, point) in enumerate(points):
        if (point.map.height, point.map.width) != (1, 1):
            continue
        reducer = _reducer(value, producers, trace)
        if reducer in _GLOBAL_POOLING or (reducer in _WINDOWS and index > last_block):
            return tuple(point for _, point in points[:index])
    return tuple(point for _, point in points)


def _reducer(value: int, producers: dict[int, Operator], trace: Trace) -> str | None:
    """The kind of operator that left one pixel of a map, which others may have changed since."""
    while value in producers:
        operator = producers[value]
        before = trace.shapes.get(operator.inputs[0], ())
        if before[2:] != (1, 1) and before[1:3] != (1, 1):
            return operator.kind
        value = operator.inputs[0]
    return None


def _stages(points: tuple[CutPoint, ...]) -> Iterator[Stage]:
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
        bottleneck = ends[-1] if ends and not is_last else None
        yield Stage(tuple(run), is_stem, is_last, bottleneck)


def _drops(before: FeatureMap, after: FeatureMap) -> bool:
    ratios = (before.height / after.height, before.width / after.width)
    return max(ratios) >= STAGE_DROP
