"""A comparison as pictures: how its arms learned, how they differ, and what that costs."""

from statistics import mean, stdev
from typing import Any

from bamctl import units, yaml_files
from bamctl.report.charts import Axis, Chart, Plot, Point, Series, front
from bamctl.report.document import Attachment
from bamctl.training.result import ArmResult, Comparison, Result

_ACCURACY = Axis("held-out accuracy", is_percent=True)


def training_charts(result: Result) -> list[Chart]:
    """Learning curves, paired differences, and accuracy against cost."""
    return [_curves(result), _differences(result), _costs(result)]


def placements(result: Result) -> list[Attachment]:
    """The placement of every arm that has one."""
    return [
        Attachment(each.arm.name, yaml_files.text(each.arm.placement.as_dict()))
        for each in result.arms
        if each.arm.placement is not None
    ]


def _curves(result: Result) -> Plot:
    return Plot(
        title="Learning curves",
        text=f"Mean over {len(result.config.seeds)} seeds; the band is one standard deviation.",
        x=Axis("step"),
        y=_ACCURACY,
        series=[Series(each.arm.name, _curve(each, result), "line") for each in result.arms],
    )


def _curve(arm: ArmResult, result: Result) -> list[Point]:
    lines = [line for line in result.metrics if line["arm"] == arm.arm.name]
    return [_point(step, value, arm.arm.name, lines) for step, value in arm.curve.items()]


def _point(step: int, value: float, name: str, lines: list[dict[str, Any]]) -> Point:
    seen = [line["accuracy"] for line in lines if line["step"] == step]
    spread = stdev(seen) if len(seen) > 1 else None
    label = f"{name}, step {step}\n{units.share(value)}"
    if spread is None:
        return Point(step, value, label)
    return Point(step, value, f"{label} ± {100 * spread:.2f}", value - spread, value + spread)


def _differences(result: Result) -> Plot:
    verdicts = "; ".join(
        f"{each.arm} against {each.baseline}: {each.evidence.verdict}"
        for each in result.comparisons
    )
    return Plot(
        title="Paired differences",
        text=f"Mean over the seeds and its interval, at the level of its verdict. {verdicts}.",
        x=Axis("difference in accuracy", is_percent=True),
        y=Axis(""),
        series=[Series("difference", [_difference(each) for each in result.comparisons])],
        marks=[0.0],
    )


def _difference(comparison: Comparison) -> Point:
    found = comparison.evidence
    low, high = found.interval or (None, None)
    name = f"{comparison.arm} - {comparison.baseline}"
    label = f"{name}\n{100 * found.mean:+.2f} points, {found.verdict}"
    return Point(found.mean, name, label, low, high, attachment=comparison.arm)


def _costs(result: Result) -> Plot:
    points = [_cost(each) for each in result.arms]
    return Plot(
        title="Accuracy against cost",
        text="The line joins the arms that no other is at least as good and as cheap as.",
        x=Axis("added parameters"),
        y=_ACCURACY,
        series=[Series("arms", points), Series("Pareto front", front(points), "front")],
    )


def _cost(arm: ArmResult) -> Point:
    accuracy = mean(arm.accuracy)
    label = f"{arm.arm.name}\n+{units.count(arm.arm.added.params)} parameters"
    label = f"{label}\n{units.share(accuracy)}"
    return Point(arm.arm.added.params, accuracy, label, attachment=arm.arm.name)
