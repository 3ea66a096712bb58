"""The feature maps among the values of a trace: how each is laid out, and its extents."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from bamctl.attention.layouts import Layout, Ncdhw, Nchw, Ndhwc, Nhwc, Tokens
from bamctl.channel_axes import channel_axes
from bamctl.tracing import Shape, Trace


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
        """Of every frame."""
        return self.extents[-2]

    @property
    def width(self) -> int:
        """Of every frame."""
        return self.extents[-1]

    @property
    def num_pixels(self) -> int:
        """In all frames."""
        return prod(self.extents)

    @property
    def shape(self) -> Shape:
        """The shape of the tensor, without the batch."""
        return self.layout.shape(self.num_channels, self.extents)


def feature_maps(trace: Trace) -> dict[int, FeatureMap]:
    """The values of a trace that are feature maps, in the order in which they were made."""
    axes, batches = channel_axes(trace), _batches(trace)
    is_video = any(len(trace.shapes.get(value, ())) == 5 for value in trace.inputs)
    maps: dict[int, FeatureMap] = {}
    grids: dict[tuple[int, ...], None] = {}
    latest: FeatureMap | None = None
    for value in _values(trace):
        batch, *extents = trace.shapes.get(value) or (0,)
        shape, axis = tuple(extents), axes.get(value)
        if axis == 1 and len(shape) == 3 + is_video:
            # Also where attention pools its heads, each of which is a map with the patches' grid.
            grids.pop(shape[1:], None)
            grids[shape[1:]] = None
        if latest and axis is None and shape == latest.shape:
            # Windows put back together: the shape of the map that they were cut from is its layout.
            found: FeatureMap | None = latest
        else:
            found = _feature_map(batch, shape, axis, tuple(grids), is_video)
        if found and batch in batches and not _is_windows(found, latest):
            maps[value] = latest = found
    return maps


def _values(trace: Trace) -> Iterator[int]:
    yield from trace.inputs
    for operator in trace.operators:
        yield from operator.outputs


def _batches(trace: Trace) -> set[int]:
    """The sizes of batch that a map may have: one image, all inputs in one, or each frame alone."""
    shapes = [trace.shapes.get(value, ()) for value in trace.inputs]
    return {1, len(shapes)} | {shape[1] for shape in shapes if len(shape) == 5}


def _feature_map(
    batch: int, shape: Shape, axis: int | None, grids: tuple[Shape, ...], is_video: bool
) -> FeatureMap | None:
    match shape, axis:
        case (channels, height, width), 1:
            return FeatureMap(Nchw(), channels, (height, width), batch)
        case (height, width, channels), 3 if not is_video:  # else heads, tokens and features
            return FeatureMap(Nhwc(), channels, (height, width), batch)
        case (channels, frames, height, width), 1 if is_video:
            return FeatureMap(Ncdhw(), channels, (frames, height, width), batch)
        case (frames, height, width, channels), 4 if is_video:
            return FeatureMap(Ndhwc(), channels, (frames, height, width), batch)
        case (length, channels), 2:
            # Patches keep a grid that they were cut or pooled to; what is more is prefix.
            fitting = [grid for grid in grids if prod(grid) <= length < 2 * prod(grid)]
            if fitting:
                # The last of the largest; sorting keeps the order of those alike.
                grid = sorted(fitting, key=prod)[-1]
                return FeatureMap(Tokens(grid, length - prod(grid)), channels, grid, batch)
    return None


def _is_windows(found: FeatureMap, before: FeatureMap | None) -> bool:
    """As many pixels in another grid are windows cut from the map, in no order of the image."""
    if before is None or found.extents == before.extents:
        return False
    return found.num_pixels * found.batch == before.num_pixels * before.batch
