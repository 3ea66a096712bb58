"""Drawings of networks: stages as rows of cells, with their sites."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from bamctl.report.chart import NetworkSketch, StageSketch

_GAP, _CELL_GAP, _TALLEST, _TOP, _LEAST = 26, 3, 120, 8, 74


@dataclass(frozen=True)
class Cell:
    """A block as a rectangle, with its text."""

    x: float
    y: float
    width: float
    height: float
    text: str
    is_site: bool


@dataclass(frozen=True)
class Sketch:
    """A network: its stages, each with its position and its cells."""

    width: float
    height: float
    stages: Sequence[tuple[StageSketch, float, Sequence[Cell]]]


def sketch(network: NetworkSketch) -> Sketch:
    """Return positions: as wide as channels and as high as maps, on logarithmic scales."""
    tallest = max((stage.height for stage in network.stages), default=1)
    x, stages = 4.0, []
    for stage in network.stages:
        height = _TALLEST * log2(stage.height + 1) / log2(tallest + 1)
        width = 4 + 2.2 * log2(stage.num_channels + 1)
        y = _TOP + (_TALLEST - height) / 2
        cells = []
        for index, name in enumerate(stage.cells):
            cost = stage.sites.get(name)
            text = f"{name}: {cost}" if cost else name
            at = x + index * (width + _CELL_GAP)
            cells.append(Cell(at, y, width, height, text, cost is not None))
        stages.append((stage, x, cells))
        x += max(len(cells) * (width + _CELL_GAP), _LEAST) + _GAP
    return Sketch(x, _TALLEST + 2 * _TOP + 64, stages)
