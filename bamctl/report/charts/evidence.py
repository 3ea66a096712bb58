"""Charts of evidence: differences, their intervals, and the verdicts in words."""

from collections.abc import Mapping

from bamctl.report.chart import Axis, Plot, Point, Series
from bamctl.training.evidence import Evidence
from bamctl.training.measure import Measure


def differences(
    title: str,
    text: str,
    found: Mapping[str, Evidence],
    attachments: Mapping[str, str],
    measure: Measure,
) -> Plot:
    """Return a chart of differences with their intervals.

    Args:
        title: of the plot.
        text: describes the differences; the verdicts are appended.
        found: the evidence, by name.
        attachments: the placement that a click opens, by the same names.
        measure: what differs.
    """
    verdicts = "; ".join(f"{name}: {each.verdict}" for name, each in found.items())
    drawn = [_point(name, each, measure, attachments.get(name)) for name, each in found.items()]
    return Plot(
        title=title,
        text=f"{text} {verdicts}.".lstrip(),
        x=Axis(f"difference in {measure.title}", is_percent=measure.is_share),
        y=Axis(""),
        series=[Series("difference", drawn)],
        marks=[0.0],
    )


def _point(name: str, found: Evidence, measure: Measure, attachment: str | None) -> Point:
    low, high = found.interval or (None, None)
    difference = f"{measure.signed(found.mean)} {measure.unit}".rstrip()
    label = f"{name}\n{difference}, {found.verdict}"
    return Point(found.mean, name, label, low, high, attachment=attachment)
