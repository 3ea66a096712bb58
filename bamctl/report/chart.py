"""Pictures in a report, before anyone decides how they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Axis:
    """An axis of a plot; `is_percent` is for fractions."""

    title: str
    is_percent: bool = False
    is_log: bool = False


@dataclass(frozen=True)
class Point:
    """One thing in a plot.

    A `y` of text is a place on an axis of names. `low` and `high` are an interval: of `y` along a
    line, which becomes a band, and of `x` where `y` is a name. `attachment` names what is shown of
    the thing elsewhere in the report.
    """

    x: float
    y: float | str
    label: str
    low: float | None = None
    high: float | None = None
    attachment: str | None = None


@dataclass(frozen=True)
class Series:
    """Points that belong together, drawn apart, joined, or joined as the steps of a front."""

    name: str
    points: Sequence[Point]
    kind: Literal["points", "line", "front"] = "points"


@dataclass(frozen=True)
class Plot:
    """Things by two numbers, or by one number and a name; `marks` are lines across `x`."""

    title: str
    text: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    marks: Sequence[float] = ()
    type: Literal["plot"] = "plot"


@dataclass(frozen=True)
class Bar:
    """A number under a name, with what it means."""

    name: str
    value: float
    label: str
    is_bad: bool = False


@dataclass(frozen=True)
class Bars:
    """Numbers to compare; `limit` is a line that they should not cross."""

    title: str
    text: str
    axis: Axis
    bars: Sequence[Bar]
    limit: float | None = None
    type: Literal["bars"] = "bars"


@dataclass(frozen=True)
class Sample:
    """Many values of one quantity."""

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

    `cells` are the modules that end a block, or the stage's end alone where it has none; `sites`
    says of those where attention is what it costs there.
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
class Picture:
    """A picture that is drawn already: a PNG file, in base64."""

    title: str
    text: str
    png: str
    type: Literal["picture"] = "picture"


Chart = Plot | Bars | Distributions | NetworkSketch | Picture


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other is at least as good as: lower `x` and higher `y` are better.

    >>> points = [Point(1, 1, "a"), Point(2, 3, "b"), Point(3, 2, "c"), Point(1, 0, "d")]
    >>> [point.label for point in front(points)]
    ['a', 'b']
    """
    found: list[Point] = []
    for point in sorted(points, key=lambda each: (each.x, -float(each.y))):
        if not found or float(point.y) > float(found[-1].y):
            found.append(point)
    return found
