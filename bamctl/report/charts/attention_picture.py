"""Gates drawn over the image, as in the paper's figure of the hierarchy."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from bamctl.analysis.attend import Array, Image, SiteMaps, upsampled

_COLUMNS = ("image", "before", "spatial", "channel", "gate", "after")
_INCHES = 1.9


def draw(image: Image, sites: Sequence[SiteMaps]) -> bytes:
    """Draw a PNG file with a row for each site.

    From left to right: the image, the mean of the map's absolute values before the module, Ms, Mc,
    the mean of the gate, and the map after it. Every map is laid over the image.
    """
    from matplotlib.figure import Figure

    height, width = image.original.shape[:2]
    size = (_INCHES * len(_COLUMNS), _INCHES * len(sites) * min(max(height / width, 0.5), 2) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    for row, (axes, maps) in enumerate(
        zip(figure.subplots(len(sites), len(_COLUMNS), squeeze=False), sites, strict=True)
    ):
        axes[0].set_ylabel(maps.module, fontsize=8)
        for name, each in zip(_COLUMNS, axes, strict=True):
            each.set_xticks([])
            each.set_yticks([])
            if row == 0:
                each.set_title(name, fontsize=9)
        axes[0].imshow(image.original)
        for name, each in zip(_COLUMNS[1:], axes[1:], strict=True):
            if name == "channel":
                _draw_channels(each, maps.channel)
            else:
                _draw_map(each, getattr(maps, name), image)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _draw_map(axes: Any, values: Array | None, image: Image) -> None:
    height, width = image.original.shape[:2]
    grey = image.original.mean(axis=2)
    axes.imshow(grey, cmap="gray")
    if values is not None:
        # Legible in greyscale, and with colour blindness.
        axes.imshow(upsampled(values, height, width), cmap="viridis", alpha=0.65)


def _draw_channels(axes: Any, values: Array | None) -> None:
    """Draw the channels in their order, as the cells of a square."""
    if values is None:
        return
    side = int(np.ceil(np.sqrt(len(values))))
    cells = np.full(side * side, np.nan, dtype=np.float32)
    cells[: len(values)] = values
    axes.imshow(cells.reshape(side, side), cmap="viridis")
