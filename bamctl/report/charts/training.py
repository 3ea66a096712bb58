"""Charts of a comparison: learning curves, differences and costs of its arms."""

from statistics import mean, stdev
from typing import Any

from bamctl import units
from bamctl.files import yaml_files
from bamctl.report.chart import Axis, Chart, Plot, Point, Series, front
from bamctl.report.charts.evidence import differences
from bamctl.report.charts.network import network_sketch
from bamctl.report.document import Attachment
from bamctl.training.result import ArmResult, Result

_ACCURACY = Axis("held-out accuracy", is_percent=True)


def training_charts(result: Result) -> list[Chart]:
    """Return charts of learning curves, paired differences, accuracy against cost, and sites."""
    networks = [
        network_sketch(result.trunk, each.arm.placed, f"Where attention is in {each.arm.name}")
        for each in result.arms
        if each.arm.placed is not None
    ]
    return [_curves(result), _differences(result), _costs(result), *networks]


def placements(result: Result) -> list[Attachment]:
    """Return the placement of every arm that has one."""
    return [
        Attachment(each.arm.name, yaml_files.text(each.arm.placement.as_written()))
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
    named = {f"{each.arm} - {each.baseline}": each for each in result.comparisons}
    return differences(
        "Paired differences",
        "Mean over the seeds and its interval, at the level of its verdict.",
        {name: each.evidence for name, each in named.items()},
        {name: each.arm for name, each in named.items()},
    )


def _costs(result: Result) -> Plot:
    points = [_cost(each) for each in result.arms]
    return Plot(
        title="Accuracy against cost",
        text="The line joins the arms that no other arm dominates.",
        x=Axis("added parameters", includes=(0.0,)),
        y=_ACCURACY,
        series=[Series("arms", points), Series("Pareto front", front(points), "front")],
    )


def _cost(arm: ArmResult) -> Point:
    accuracy = mean(arm.accuracy)
    label = f"{arm.arm.name}\n+{units.count(arm.arm.added.params)} parameters"
    label = f"{label}\n{units.share(accuracy)}"
    return Point(arm.arm.added.params, accuracy, label, attachment=arm.arm.name)
