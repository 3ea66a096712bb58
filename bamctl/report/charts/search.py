"""Charts of a search: every candidate by cost and score, and the progress of the search."""

from bamctl import units
from bamctl.analysis.palette import palette
from bamctl.files import yaml_files
from bamctl.nas.goals import parse_goal
from bamctl.nas.result import Candidate, SearchResult
from bamctl.placement.cost import placement_cost
from bamctl.report.chart import Axis, Bar, Bars, Chart, NetworkSketch, Plot, Point, Series
from bamctl.report.charts.designer import designer
from bamctl.report.charts.evidence import differences
from bamctl.report.charts.network import network_sketch
from bamctl.report.document import Attachment
from bamctl.training.measure import Measure


def search_charts(result: SearchResult) -> list[Chart]:
    """Return charts of the measure against objectives, of progress, and of the front's networks."""
    found: list[Chart] = [_costs(name, result) for name in result.config.objectives]
    found.append(_volume(result))
    if result.evidence:
        found.append(_differences(result))
    if result.importance.shown:
        found.append(_importance(result))
    networks = (_network(each, result) for each in result.front if each.placement)
    return [*found, *_designer(result), *networks]


def placements(result: SearchResult) -> list[Attachment]:
    """Return the placements of the front."""
    return [
        Attachment(each.name, yaml_files.text(each.placement.as_written()))
        for each in result.front
        if each.placement is not None
    ]


def _designer(result: SearchResult) -> list[Chart]:
    """Return a network to work on any trial in, with the kinds of the search."""
    setup = result.setup
    trials = {each.name: setup.space.sites(each.codes) for each in result.trials}
    chosen = list(dict.fromkeys(site.attention for sites in trials.values() for site in sites))
    if not chosen:
        return []
    best = next((trials[each.name] for each in result.front if each.placement), ())
    found = palette(setup.subject, chosen, kinds=())
    return [designer(found, result.config.training.spec, chosen[0], best, trials=trials)]


def _network(member: Candidate, result: SearchResult) -> NetworkSketch:
    setup = result.setup
    sites, on = setup.space.sites(member.codes), setup.subject
    placed = placement_cost(sites, on)
    return network_sketch(on.trunk, placed, f"Where attention is in {member.name}")


def _costs(objective: str, result: SearchResult) -> Plot:
    measure = result.config.training.measure
    front = {each.number for each in result.front}
    others = [each for each in result.trials if each.number not in front]
    series = [
        Series("tried", [_point(each, objective, measure) for each in others]),
        Series("Pareto front", [_point(each, objective, measure) for each in result.front]),
    ]
    return Plot(
        title=f"{measure.capitalized} against {objective}",
        text="Every candidate that was trained. A click on one opens its placement below.",
        x=_cost_axis(objective),
        y=Axis(f"held-out {measure.title}", is_percent=measure.is_share),
        series=[each for each in series if each.points],
    )


def _cost_axis(objective: str) -> Axis:
    metric = parse_goal(objective).metric
    unit = "" if metric.json_key == metric.name else f" in {metric.json_unit}"
    # From the unmodified network, which adds nothing.
    return Axis(f"added {objective}{unit}", includes=(0.0,))


def _point(candidate: Candidate, objective: str, measure: Measure) -> Point:
    value = measure.goodness(candidate.score)
    cost, metric = candidate.added[objective], parse_goal(objective).metric
    shown = metric.amount(cost)
    label = f"{candidate.name}, trial {candidate.number}\n+{shown}\n{measure.text(value)}"
    return Point(metric.to_json(cost), value, label, attachment=candidate.name)


def _volume(result: SearchResult) -> Plot:
    points = [
        Point(number, volume, f"after {number} trials\n{volume:.3f}")
        for number, volume in enumerate(result.volume, 1)
    ]
    return Plot(
        title="Hypervolume over trials",
        text="Dominated share of the box between the worst and the best values.",
        x=Axis("trials"),
        y=Axis("hypervolume"),
        series=[Series("hypervolume", points, "line")],
    )


def _differences(result: SearchResult) -> Plot:
    return differences(
        "The front on fresh seeds",
        f"Differences to the baseline on {len(result.seeds)} fresh seeds, with the "
        "intervals of the verdicts.",
        result.evidence,
        {name: name for name in result.evidence},
        result.config.training.measure,
    )


def _importance(result: SearchResult) -> Bars:
    return Bars(
        title=f"Importance for {result.config.training.measure.title}",
        text="Shares of the variance over the trials, by fANOVA.",
        axis=Axis("of the variance", is_percent=True),
        bars=[Bar(name, part, units.share(part)) for name, part in result.importance.shown.items()],
    )
