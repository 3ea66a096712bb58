"""The feature maps among the values of a trace: how each is laid out, and its extents."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from bamctl.tracing.trace import Shape, Trace
from bamctl.trunk._axes import SPATIAL, Axes, Axis, merged
from bamctl.trunk._axis_tracking import find_axes
from bamctl.trunk.layouts import Layout, Ncdhw, Nchw, Ndhwc, Nhwc, Tokens


@dataclass(frozen=True)
class FeatureMap:
    """The extents of a map of one image or video, and how its axes are ordered.

    `extents` are height and width, of a video also the frames before them. `batch` is the number of
    such maps that one input makes: two in a network that compares two images at once.
    """

    layout: Layout
    num_channels: int
    extents: tuple[int, ...]
    batch: int = 1

    @property
    def height(self) -> int:
        """The number of pixels or values, over every frame."""
        return self.extents[-2]

    @property
    def width(self) -> int:
        """The number of pixels or values, over every frame."""
        return self.extents[-1]

    @property
    def num_pixels(self) -> int:
        """In all frames."""
        return prod(self.extents)

    @property
    def shape(self) -> Shape:
        """The shape of the tensor, without the batch."""
        return self.layout.shape(self.num_channels, self.extents)


_LAYOUTS: dict[tuple[str | None, ...], Layout] = {
    ("", "h", "w"): Nchw(),
    ("h", "w", ""): Nhwc(),
    ("", "t", "h", "w"): Ncdhw(),
    ("t", "h", "w", ""): Ndhwc(),
}


def feature_maps(trace: Trace) -> dict[int, FeatureMap]:
    """The values of a trace that are feature maps, in the order in which they were made."""
    axes, batches = find_axes(trace), _batches(trace)
    maps: dict[int, FeatureMap] = {}
    for value in _values(trace):
        shape = trace.shapes.get(value, ())
        if value in axes and shape and shape[0] in batches:
            found = _feature_map(shape, axes[value])
            if found:
                maps[value] = found
    return maps


def _values(trace: Trace) -> Iterator[int]:
    yield from trace.inputs
    for operator in trace.operators:
        yield from operator.outputs


def _batches(trace: Trace) -> set[int]:
    """The sizes of batch that a map may have: one image, all inputs in one, or each frame alone."""
    shapes = [trace.shapes.get(value, ()) for value in trace.inputs]
    return {1, len(shapes)} | {shape[1] for shape in shapes if len(shape) == 5}


def _feature_map(shape: Shape, axes: Axes) -> FeatureMap | None:
    batch, *others = (merged(axis) for axis in axes)
    if any(factor.is_spatial for factor in batch):
        return None  # Windows of a map, each an item of the batch.
    names = tuple(_extent_name(axis) for axis in others)
    if names in _LAYOUTS:
        layout = _LAYOUTS[names]
        channels = shape[1 + names.index("")]
        extents = tuple(n for n, name in zip(shape[1:], names, strict=True) if name)
        return FeatureMap(layout, channels, extents, shape[0])
    if len(others) == 2 and names[1] == "":
        return _tokens(shape, others[0])
    return None


def _extent_name(axis: Axis) -> str | None:
    """The name of an axis of the image, "" for channels, or None for a part or a mixture."""
    if len(axis) == 1 and axis[0].name in SPATIAL and axis[0].step == 1:
        return axis[0].name
    return None if any(factor.is_spatial for factor in axis) else ""


def _tokens(shape: Shape, axis: Axis) -> FeatureMap | None:
    """Patches in the order of the image, behind their prefix tokens."""
    prefix, patches = (axis[0].prefix, axis[0].grid) if len(axis) == 1 else (0, axis)
    names = tuple(factor.name for factor in patches)
    in_order = names in (SPATIAL, SPATIAL[1:]) and all(factor.step == 1 for factor in patches)
    if not in_order:
        return None
    grid = tuple(factor.size for factor in patches)
    return FeatureMap(Tokens(grid, prefix), shape[2], grid, shape[0])
