"""Charts of a comparison: learning curves, differences and costs of its arms."""

from statistics import mean, stdev
from typing import Any

from bamctl import units
from bamctl.files import yaml_files
from bamctl.report.chart import Axis, Chart, Plot, Point, Series, front
from bamctl.report.charts.evidence import differences
from bamctl.report.charts.network import network_sketch
from bamctl.report.document import Attachment
from bamctl.training.measure import Measure
from bamctl.training.result import ArmResult, Result


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
        y=_axis(result),
        series=[Series(each.arm.name, _curve(each, result), "line") for each in result.arms],
    )


def _curve(arm: ArmResult, result: Result) -> list[Point]:
    lines = [line for line in result.metrics if line["arm"] == arm.arm.name]
    measure, name = result.config.measure, arm.arm.name
    return [_point(step, value, name, lines, measure) for step, value in arm.curve.items()]


def _point(
    step: int, value: float, name: str, lines: list[dict[str, Any]], measure: Measure
) -> Point:
    seen = [line[measure.name] for line in lines if line["step"] == step]
    spread = stdev(seen) if len(seen) > 1 else None
    label = f"{name}, step {step}\n{measure.text(value)}"
    if spread is None:
        return Point(step, value, label)
    label = f"{label} ± {measure.number(spread)}"
    return Point(step, value, label, value - spread, value + spread)


def _differences(result: Result) -> Plot:
    measure = result.config.measure
    named = {f"{each.arm} - {each.baseline}": each for each in result.comparisons}
    return differences(
        "Paired differences",
        "Mean over the seeds and its interval, at the level of its verdict.",
        {name: each.evidence for name, each in named.items()},
        {name: each.arm for name, each in named.items()},
        measure,
    )


def _costs(result: Result) -> Plot:
    measure = result.config.measure
    points = [_cost(each, measure) for each in result.arms]
    best = front(points, lower_is_better=measure.lower_is_better)
    pareto = Series("Pareto front", best, "front")
    return Plot(
        title=f"{result.config.measure.capitalized} against cost",
        text="The line joins the arms that no other arm dominates.",
        x=Axis("added parameters", includes=(0.0,)),
        y=_axis(result),
        series=[Series("arms", points), pareto],
    )


def _cost(arm: ArmResult, measure: Measure) -> Point:
    value = mean(arm.values)
    label = f"{arm.arm.name}\n+{units.count(arm.arm.added.params)} parameters"
    label = f"{label}\n{measure.text(value)}"
    return Point(arm.arm.added.params, value, label, attachment=arm.arm.name)


def _axis(result: Result) -> Axis:
    measure = result.config.measure
    return Axis(f"held-out {measure.title}", is_percent=measure.is_share)
