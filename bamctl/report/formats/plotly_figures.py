"""Charts as figures of Plotly, in its JSON schema.

Colours are names of the page's custom properties, which its script resolves in the current scheme,
light or dark. Plotly interprets some markup in labels, so text is escaped.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import chain
from typing import Any

from bamctl.report.chart import Axis, Bars, Distributions, Plot, Point, Series

_NUM_COLOURS = 8
_BAR_HEIGHT, _HEIGHT = 34, 380
# Longer names are truncated; the hover text has the whole name.
_LONGEST = 28


def _plot(plot: Plot) -> dict[str, Any]:
    traces = list(
        chain.from_iterable(_traces(each, index) for index, each in enumerate(plot.series))
    )
    named = [p.y for series in plot.series for p in series.points if isinstance(p.y, str)]
    names = list(dict.fromkeys(map(_short, named)))
    layout = _layout(plot.x, plot.y, height=_names_height(len(names)) if names else _HEIGHT)
    points = [point for series in plot.series for point in series.points]
    layout["xaxis"] |= _scale(plot.x, [point.x for point in points])
    layout["yaxis"] |= _scale(plot.y, [p.y for p in points if not isinstance(p.y, str)])
    if names:
        layout["yaxis"] |= _names(names)
    layout["shapes"] = [_line(at) for at in plot.marks]
    layout["showlegend"] = len(plot.series) > 1
    return {"data": traces, "layout": layout}


def _traces(series: Series, index: int) -> list[dict[str, Any]]:
    points, colour = series.points, f"--series-{index % _NUM_COLOURS}"
    has_names = any(isinstance(point.y, str) for point in points)
    mode = {"points": "markers", "line": "lines+markers", "front": "lines"}[series.kind]
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": _short(series.name),
        "legendgroup": str(index),
        "mode": mode,
        "x": [point.x for point in points],
        "y": [_short(p.y) if isinstance(p.y, str) else p.y for p in points],
        "text": [_hover(point.label) for point in points],
        "hoverinfo": "text",
        "hoverlabel": {"align": "left"},
        "customdata": [point.attachment for point in points],
        "marker": {"color": colour, "size": 9},
        "line": {"color": colour, "width": 2},
    }
    if series.kind == "front":
        trace |= {"hoverinfo": "skip", "line": {**trace["line"], "shape": "hv"}}
    if has_names:
        trace["error_x"] = _errors(points, [point.x for point in points], colour)
        return [trace]
    band = _band(points, colour, index) if series.kind == "line" else []
    return [*band, trace]


def _errors(points: Sequence[Point], values: Sequence[float], colour: str) -> dict[str, Any]:
    up = [(p.high if p.high is not None else v) - v for p, v in zip(points, values, strict=True)]
    down = [v - (p.low if p.low is not None else v) for p, v in zip(points, values, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": up,
        "arrayminus": down,
        "color": colour,
        "thickness": 2,
    }


def _band(points: Sequence[Point], colour: str, index: int) -> list[dict[str, Any]]:
    known = [point for point in points if point.low is not None and point.high is not None]
    if not known:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [point.x for point in [*known, *known[::-1]]],
            "y": [*(point.high for point in known), *(point.low for point in known[::-1])],
            "fill": "toself",
            "fillcolor": colour,
            "opacity": 0.18,
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
            "legendgroup": str(index),
        }
    ]


def _bars(bars: Bars) -> dict[str, Any]:
    # Labels are part of the names, since there may be no room beside or within a bar.
    names = [f"{_short(bar.name)}<br>{_short(bar.label)}" for bar in bars.bars]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [bar.value for bar in bars.bars],
        "y": names,
        "hovertext": [_hover(f"{bar.name}\n{bar.label}") for bar in bars.bars],
        "hoverinfo": "text",
        "marker": {"color": ["--bad" if bar.is_bad else "--series-0" for bar in bars.bars]},
    }
    layout = _layout(bars.axis, Axis(""), height=_names_height(1.4 * len(names)))
    layout["yaxis"] |= _names(names)
    layout["shapes"] = [] if bars.limit is None else [_line(bars.limit)]
    return {"data": [trace], "layout": layout}


def _distributions(chart: Distributions) -> dict[str, Any]:
    traces = [
        {
            "type": "box",
            "name": _short(sample.name),
            "x": list(sample.values),
            "boxpoints": "outliers",
            "marker": {"color": f"--series-{index % _NUM_COLOURS}", "size": 4},
            "orientation": "h",
        }
        for index, sample in enumerate(chart.samples)
    ]
    layout = _layout(chart.axis, Axis(""), height=_names_height(2 * len(traces)))
    layout["yaxis"] |= _names([_short(sample.name) for sample in chart.samples])
    return {"data": traces, "layout": {**layout, "showlegend": False}}


# The page draws networks itself, without Plotly.
FIGURES: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    Plot: _plot,
    Bars: _bars,
    Distributions: _distributions,
}


def _layout(x: Axis, y: Axis, *, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"t": 16, "r": 24, "b": 64, "l": 24},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--text", "family": "system-ui, sans-serif", "size": 13},
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": _axis(x),
        "yaxis": _axis(y),
    }


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": {"text": _text(axis.title)},
        "automargin": True,
        "gridcolor": "--grid",
        "zerolinecolor": "--axis",
        "linecolor": "--axis",
        **({"tickformat": ".2~%"} if axis.is_percent else {}),
    }


def _scale(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis, labelled at powers of ten if the range contains any."""
    positive = [value for value in values if value > 0]
    is_log = axis.is_log and len(positive) == len(values) and max(values) >= 10 * min(values)
    return {"type": "log", "dtick": 1} if is_log else {}


def _names(names: Sequence[str]) -> dict[str, Any]:
    """Return an axis of categories, the first on top."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(reversed(names)),
        "title": {"text": ""},
    }


def _names_height(number: float) -> int:
    return round(110 + _BAR_HEIGHT * max(2, number))


def _line(at: float) -> dict[str, Any]:
    return {
        "type": "line",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "x0": at,
        "x1": at,
        "line": {"color": "--bad", "width": 2, "dash": "dash"},
    }


def _text(text: str) -> str:
    return escape(text, quote=False)


def _short(name: str) -> str:
    return _text(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…")


def _hover(text: str) -> str:
    lines = [line[at : at + 60] for line in text.splitlines() for at in range(0, len(line), 60)]
    return "<br>".join(map(_text, lines))
