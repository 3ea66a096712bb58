"""Charts of evidence: differences, their intervals, and the verdicts in words."""

from collections.abc import Callable, Mapping

from bamctl.report._wording import points
from bamctl.report.chart import Axis, Plot, Point, Series
from bamctl.training.evidence import Evidence

_ACCURACY = Axis("difference in accuracy", is_percent=True)


def _points(difference: float) -> str:
    return f"{points(difference)} points"


def differences(
    title: str,
    text: str,
    found: Mapping[str, Evidence],
    attachments: Mapping[str, str],
    *,
    axis: Axis = _ACCURACY,
    written: Callable[[float], str] = _points,
) -> Plot:
    """Return a chart of differences with their intervals.

    Args:
        title: of the plot.
        text: describes the differences; the verdicts are appended.
        found: the evidence, by name.
        attachments: the placement that a click opens, by the same names.
        axis: the axis of the differences.
        written: formats a difference.
    """
    verdicts = "; ".join(f"{name}: {each.verdict}" for name, each in found.items())
    drawn = [_point(name, each, written, attachments.get(name)) for name, each in found.items()]
    return Plot(
        title=title,
        text=f"{text} {verdicts}.".lstrip(),
        x=axis,
        y=Axis(""),
        series=[Series("difference", drawn)],
        marks=[0.0],
    )


def _point(
    name: str, found: Evidence, written: Callable[[float], str], attachment: str | None
) -> Point:
    low, high = found.interval or (None, None)
    label = f"{name}\n{written(found.mean)}, {found.verdict}"
    return Point(found.mean, name, label, low, high, attachment=attachment)
