"""The feature maps among the values of a trace: layout, channels and extents."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from bamctl.tracing.trace import Shape, Trace
from bamctl.trunk._axes import SPATIAL, Axes, Axis, merged
from bamctl.trunk._axis_tracking import find_axes
from bamctl.trunk.layouts import Layout, Ncdhw, Nchw, Ndhwc, Nhwc, Tokens


@dataclass(frozen=True)
class FeatureMap:
    """The layout, number of channels and extents of the feature map of one image or video.

    `extents` are (height, width), or (frames, height, width) for a video. `batch` is the number of
    maps for one input: two in a network that compares two images at once.
    """

    layout: Layout
    num_channels: int
    extents: tuple[int, ...]
    batch: int = 1

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.extents[-2]

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.extents[-1]

    @property
    def num_pixels(self) -> int:
        """The number of pixels, in all frames."""
        return prod(self.extents)

    @property
    def shape(self) -> Shape:
        """The shape of the tensor in its layout, without the batch."""
        return self.layout.shape(self.num_channels, self.extents)


_LAYOUTS: dict[tuple[str | None, ...], Layout] = {
    ("", "h", "w"): Nchw(),
    ("h", "w", ""): Nhwc(),
    ("", "t", "h", "w"): Ncdhw(),
    ("t", "h", "w", ""): Ndhwc(),
}


def feature_maps(trace: Trace) -> dict[int, FeatureMap]:
    """Return the feature maps of a trace, by their values, in the order of the forward pass."""
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
    """Return the valid batch sizes of a map: one image, all inputs together, or one per frame."""
    shapes = [trace.shapes.get(value, ()) for value in trace.inputs]
    return {1, len(shapes)} | {shape[1] for shape in shapes if len(shape) == 5}


def _feature_map(shape: Shape, axes: Axes) -> FeatureMap | None:
    batch, *others = (merged(axis) for axis in axes)
    if any(factor.is_spatial for factor in batch):
        return None  # The windows of a map are the items of the batch.
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
    """Return the name of a whole axis of the image, "" for channels, or None for anything else."""
    if len(axis) == 1 and axis[0].name in SPATIAL and axis[0].step == 1:
        return axis[0].name
    return None if any(factor.is_spatial for factor in axis) else ""


def _tokens(shape: Shape, axis: Axis) -> FeatureMap | None:
    """Return the map of tokens if its patches are in image order, behind any prefix tokens."""
    prefix, patches = (axis[0].prefix, axis[0].grid) if len(axis) == 1 else (0, axis)
    names = tuple(factor.name for factor in patches)
    in_order = names in (SPATIAL, SPATIAL[1:]) and all(factor.step == 1 for factor in patches)
    if not in_order:
        return None
    grid = tuple(factor.size for factor in patches)
    return FeatureMap(Tokens(grid, prefix), shape[2], grid, shape[0])
