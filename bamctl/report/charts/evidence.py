"""Charts of evidence: differences, their intervals, and the verdicts in words."""

from collections.abc import Mapping

from bamctl.report._wording import points
from bamctl.report.chart import Axis, Plot, Point, Series
from bamctl.training.evidence import Evidence


def differences(
    title: str, text: str, found: Mapping[str, Evidence], attachments: Mapping[str, str]
) -> Plot:
    """Return a chart of paired differences with their intervals.

    Args:
        title: of the plot.
        text: describes the differences; the verdicts are appended.
        found: the evidence, by name.
        attachments: the placement that a click opens, by the same names.
    """
    verdicts = "; ".join(f"{name}: {each.verdict}" for name, each in found.items())
    drawn = [_point(name, each, attachments.get(name)) for name, each in found.items()]
    return Plot(
        title=title,
        text=f"{text} {verdicts}.",
        x=Axis("difference in accuracy", is_percent=True),
        y=Axis(""),
        series=[Series("difference", drawn)],
        marks=[0.0],
    )


def _point(name: str, found: Evidence, attachment: str | None) -> Point:
    low, high = found.interval or (None, None)
    label = f"{name}\n{points(found.mean)} points, {found.verdict}"
    return Point(found.mean, name, label, low, high, attachment=attachment)
