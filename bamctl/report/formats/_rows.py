"""Drawings of one row for each name: bars, intervals, boxes and costs, in percent of the width."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import quantiles

from bamctl.report.chart import Bars, Costs, Distributions, Plot
from bamctl.report.formats._scales import Tick, scale
from bamctl.text.lists import few

_MOST_NAMED = 3


@dataclass(frozen=True)
class Span:
    """A part of a row, from its start and as wide as it is, in percent; `kind` is its style."""

    start: float
    width: float
    kind: str
    value: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row: a name, a text, what is drawn, and the placement that a click opens."""

    name: str
    text: str
    spans: Sequence[Span]
    attachment: str | None = None
    is_bad: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows over one axis; `marks` are lines across all of them, and `mark` is their style."""

    rows: Sequence[Row]
    ticks: Sequence[Tick]
    title: str
    marks: Sequence[float] = ()
    mark: str = "zero"


def bars(chart: Bars) -> Rows:
    """Return bars from 0; what a bar starts from without attention is a part of it in grey."""
    values = [bar.value for bar in chart.bars]
    limits = [] if chart.limit is None else [chart.limit]
    on = scale(replace(chart.axis, includes=(*chart.axis.includes, 0.0)), [*values, *limits])
    rows = []
    for bar in chart.bars:
        base = Span(on.at(0), on.at(bar.base) - on.at(0), "base", bar.base)
        rest = on.at(bar.value) - on.at(bar.base)
        spans = [base, Span(on.at(bar.base), rest, "bad" if bar.is_bad else "bar", bar.value)]
        rows.append(Row(bar.name, bar.label, spans[not bar.base :], is_bad=bar.is_bad))
    return Rows(rows, on.ticks, chart.axis.title, [on.at(each) for each in limits], "limit")


def intervals(chart: Plot) -> Rows:
    """Return values by name with their intervals, as of a plot by a number and a name."""
    points = [point for series in chart.series for point in series.points]
    ends = [end for p in points for end in (p.x, p.low, p.high) if end is not None]
    on = scale(chart.x, [*ends, *chart.marks])
    rows = []
    for point in points:
        low, high = (point.x if end is None else end for end in (point.low, point.high))
        interval = Span(on.at(low), on.at(high) - on.at(low), "interval")
        spans = [interval, Span(on.at(point.x), 0, "dot", point.x)]
        text = ", ".join(point.label.splitlines()[1:])
        rows.append(Row(str(point.y), text, spans, point.attachment))
    return Rows(rows, on.ticks, chart.x.title, [on.at(each) for each in chart.marks])


def boxes(chart: Distributions) -> Rows:
    """Return a box from the first to the third quartile, whiskers from 5 to 95 %, the median."""
    found = [(sample, _percentiles(sample.values)) for sample in chart.samples]
    on = scale(replace(chart.axis, includes=(0.0,)), [end for _, five in found for end in five])
    rows = []
    for sample, (low, q25, median, q75, high) in found:
        whisker = Span(on.at(low), on.at(high) - on.at(low), "interval")
        box = Span(on.at(q25), on.at(q75) - on.at(q25), "box")
        text = f"median {median:.4g}, middle half {q25:.4g} to {q75:.4g}"
        rows.append(Row(sample.name, text, [whisker, box, Span(on.at(median), 0, "line", median)]))
    return Rows(rows, on.ticks, chart.axis.title)


def _percentiles(values: Sequence[float]) -> tuple[float, ...]:
    """Return the percentiles 5, 25, 50, 75 and 95."""
    if len(values) == 1:
        return (values[0],) * 5
    every = quantiles(values, n=20, method="inclusive")
    return tuple(every[number] for number in (0, 4, 9, 14, 18))


@dataclass(frozen=True)
class CostCells:
    """A row of costs: its sites, and for each measure a width in percent, a value and a text."""

    name: str
    sites: str
    cells: Sequence[tuple[float, float, str]]
    is_marked: bool


def costs(chart: Costs) -> Iterator[CostCells]:
    """Yield rows of bars, each measure on a scale from 0 to its largest value."""
    most = [
        max([*column, 0]) or 1 for column in zip(*(row.values for row in chart.rows), strict=True)
    ]
    for row in chart.rows:
        cells = [
            (round(100 * value / top, 3), value, label)
            for value, top, label in zip(row.values, most, row.labels, strict=True)
        ]
        yield CostCells(_named(row.sites), ", ".join(row.sites), cells, row.is_marked)


def _named(sites: Sequence[str]) -> str:
    """Name the sites of a row, all or the first and the last of many."""
    if len(sites) <= _MOST_NAMED:
        return few(sites, _MOST_NAMED)
    return f"{sites[0]} … {sites[-1]}, {len(sites)} sites"
