"""Drawings of plots by two numbers: positions in percent, and paths on a grid of 1000 x 1000."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from bamctl.report.chart import Plot, Point, Series
from bamctl.report.formats._scales import Scale, Tick, scale

# A longer line has no markers, and more marks no names.
_MOST_MARKERS, _MOST_LABELS = 60, 14
_MOST_NAMED = 8
HEIGHT = 320
# What a plot is as wide as on a telephone, and the letters of its labels, in pixels.
_NARROW, _LETTER, _LINE = 260, 6.6, 15
_SHAPES = 4


@dataclass(frozen=True)
class Mark:
    """A point, or several at one place: its position in percent, its values, and its text."""

    left: float
    top: float
    x: float
    y: float
    text: str
    count: int
    attachment: str | None


@dataclass(frozen=True)
class Label:
    """The name of a mark, beside it; `anchor` is start or end."""

    left: float
    top: float
    shift: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Drawn:
    """A series: its number, which is its colour and shape, its marks, a line and a band."""

    name: str
    number: int
    shape: int
    marks: Sequence[Mark]
    line: str = ""
    band: str = ""


@dataclass(frozen=True)
class Drawing:
    """A plot: series, ticks of both axes, and names of marks."""

    series: Sequence[Drawn]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    x_title: str
    y_title: str
    labels: Sequence[Label]
    height: int = HEIGHT

    @property
    def longest(self) -> str:
        """The longest text at the axis of y, which decides how wide its column is."""
        return max((tick.text for tick in self.y_ticks), key=len)


def draw(plot: Plot) -> Drawing:
    """Return where everything of a plot is."""
    points = [point for series in plot.series for point in series.points]
    x = scale(plot.x, [*(point.x for point in points), *plot.marks], most=4)
    ends = [end for p in points for end in (p.y, p.low, p.high) if isinstance(end, int | float)]
    y = scale(plot.y, ends)
    drawn = [_series(each, number, x, y) for number, each in enumerate(plot.series)]
    marks = [mark for each in drawn if not each.line for mark in each.marks]
    labels = list(_labels(marks)) if len(marks) <= _MOST_LABELS else []
    return Drawing(drawn, x.ticks, y.ticks, plot.x.title, plot.y.title, labels)


def _series(series: Series, number: int, x: Scale, y: Scale) -> Drawn:
    shape = number % _SHAPES
    if series.kind == "points":
        return Drawn(series.name, number, shape, _marks(series.points, x, y))
    at = [(x.at(p.x), 100 - y.at(float(p.y))) for p in series.points]
    if series.kind == "front":
        return Drawn(series.name, number, shape, [], _path(at, stepped=True))
    has_markers = len(series.points) <= _MOST_MARKERS
    marks = _marks(series.points, x, y) if has_markers else []
    return Drawn(series.name, number, shape, marks, _path(at), _band(series.points, x, y))


def _marks(points: Sequence[Point], x: Scale, y: Scale) -> list[Mark]:
    """Return a mark for each place; points that coincide are one mark, with their number."""
    ordered = sorted(points, key=lambda p: (p.x, float(p.y)))
    return [
        _mark(list(same), x, y) for _, same in groupby(ordered, key=lambda p: (p.x, float(p.y)))
    ]


def _mark(points: Sequence[Point], x: Scale, y: Scale) -> Mark:
    first, value = points[0], float(points[0].y)
    texts = [point.label for point in points[:_MOST_NAMED]]
    if len(points) > _MOST_NAMED:
        texts.append(f"and {len(points) - _MOST_NAMED} more here")
    opened = next((point.attachment for point in points if point.attachment), None)
    text = "\n".join(texts)
    return Mark(x.at(first.x), 100 - y.at(value), first.x, value, text, len(points), opened)


def _path(at: Sequence[tuple[float, float]], *, stepped: bool = False) -> str:
    """Return a path through positions in percent; a stepped one goes across, then up."""
    if not at:
        return ""
    start, *rest = [(f"{10 * left:.4g}", f"{10 * top:.4g}") for left, top in at]
    between = "H{0}V{1}" if stepped else "L{0} {1}"
    return f"M{start[0]} {start[1]}" + "".join(between.format(*each) for each in rest)


def _band(points: Sequence[Point], x: Scale, y: Scale) -> str:
    known = [(x.at(p.x), p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if not known:
        return ""
    up = [(left, 100 - y.at(high)) for left, _, high in known]
    down = [(left, 100 - y.at(low)) for left, low, _ in reversed(known)]
    return f"{_path([*up, *down])}Z"


def _labels(marks: Sequence[Mark]) -> Iterator[Label]:
    """Yield names beside marks, where they meet neither a name nor a mark on a narrow screen.

    On a wider one, marks are further apart across, and as far apart down.
    """
    taken = [_around(mark) for mark in marks]
    for mark in marks:
        name = mark.text.partition("\n")[0]
        name = f"{name} +{mark.count - 1}" if mark.count > 1 else name
        for anchor, down in (("start", 0), ("end", 0), ("start", 1), ("end", 1), ("start", -1)):
            box = _box(mark, name, anchor, down)
            inside = box[0] >= 0 and box[2] <= _NARROW and box[1] >= 0 and box[3] <= HEIGHT
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                yield Label(mark.left, mark.top, down * _LINE, anchor, name)
                break


Box = tuple[float, float, float, float]


def _around(mark: Mark) -> Box:
    left, top = mark.left / 100 * _NARROW, mark.top / 100 * HEIGHT
    return left - 6, top - 6, left + 6, top + 6


def _box(mark: Mark, name: str, anchor: str, down: int) -> Box:
    left, top = mark.left / 100 * _NARROW, mark.top / 100 * HEIGHT + down * _LINE
    start = left + 9 if anchor == "start" else left - 9 - _LETTER * len(name)
    return start, top - _LINE / 2, start + _LETTER * len(name), top + _LINE / 2


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
