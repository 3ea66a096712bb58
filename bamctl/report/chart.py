"""Charts of a report, as data that is independent of the output format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Axis:
    """An axis; `is_percent` is for fractions, and `includes` are values that it always shows."""

    title: str
    is_percent: bool = False
    includes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Point:
    """A point of a plot.

    A `y` of text is a category. `low` and `high` are an interval: of `y` along a line, drawn as a
    band, and of `x` where `y` is a category. `attachment` names the attachment of the report that
    the point stands for.
    """

    x: float
    y: float | str
    label: str
    low: float | None = None
    high: float | None = None
    attachment: str | None = None


@dataclass(frozen=True)
class Series:
    """A series of points, drawn as markers, as a line, or as the steps of a front."""

    name: str
    points: Sequence[Point]
    kind: Literal["points", "line", "front"] = "points"


@dataclass(frozen=True)
class Plot:
    """A plot by two numbers, or by a number and a category; `marks` are lines across `x`."""

    title: str
    text: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    marks: Sequence[float] = ()
    type: Literal["plot"] = "plot"


@dataclass(frozen=True)
class Bar:
    """A bar from 0 to a value under a name, with an explanation; `base` is the part in grey."""

    name: str
    value: float
    label: str
    is_bad: bool = False
    base: float = 0.0


@dataclass(frozen=True)
class Bars:
    """A bar chart; `limit` is a line that the bars should not cross."""

    title: str
    text: str
    axis: Axis
    bars: Sequence[Bar]
    limit: float | None = None
    type: Literal["bars"] = "bars"


@dataclass(frozen=True)
class CostRow:
    """Sites that cost the same: their names, and a value with its text for each measure."""

    sites: Sequence[str]
    values: Sequence[float]
    labels: Sequence[str]
    is_marked: bool = False


@dataclass(frozen=True)
class Costs:
    """Bars of several measures for each row, each measure from 0 on a scale of its own."""

    title: str
    text: str
    measures: Sequence[str]
    rows: Sequence[CostRow]
    type: Literal["costs"] = "costs"


@dataclass(frozen=True)
class Sample:
    """A sample of one quantity."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Distributions:
    """Distributions of samples, side by side."""

    title: str
    text: str
    axis: Axis
    samples: Sequence[Sample]
    type: Literal["distributions"] = "distributions"


@dataclass(frozen=True)
class StageSketch:
    """A stage of a network: its maps' side and channels, and a cell for each of its blocks.

    `cells` are the modules that end a block, or the end of a stage without blocks; `sites` maps
    those with attention to its cost.
    """

    title: str
    side: str
    height: int
    num_channels: int
    cells: Sequence[str]
    sites: dict[str, str]


@dataclass(frozen=True)
class NetworkSketch:
    """A network as the stages that it is made of."""

    title: str
    text: str
    stages: Sequence[StageSketch]
    type: Literal["network"] = "network"


@dataclass(frozen=True)
class Designer:
    """A network to place modules in, with what each costs; `data` is for the page's script."""

    title: str
    text: str
    data: dict[str, Any]
    type: Literal["designer"] = "designer"


@dataclass(frozen=True)
class Picture:
    """A finished picture: a PNG file, in base64."""

    title: str
    text: str
    png: str
    type: Literal["picture"] = "picture"


Chart = Plot | Bars | Costs | Distributions | NetworkSketch | Designer | Picture


def front(points: Sequence[Point], *, lower_is_better: bool = False) -> list[Point]:
    """Return the Pareto front of points, minimizing `x` and maximizing `y`, or minimizing both.

    >>> points = [Point(1, 1, "a"), Point(2, 3, "b"), Point(3, 2, "c"), Point(1, 0, "d")]
    >>> [point.label for point in front(points)]
    ['a', 'b']
    """
    sign = -1 if lower_is_better else 1

    def height(point: Point) -> float:
        return sign * float(point.y)

    found: list[Point] = []
    for point in sorted(points, key=lambda each: (each.x, -height(each))):
        if not found or height(point) > height(found[-1]):
            found.append(point)
    return found
