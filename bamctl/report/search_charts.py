"""A search as pictures: every candidate by cost and accuracy, and how the search went."""

from bamctl import units, yaml_files
from bamctl.report.charts import Axis, Bar, Bars, Chart, Plot, Point, Series
from bamctl.report.document import Attachment
from bamctl.search.goals import parse_figure
from bamctl.search.result import Candidate, SearchResult


def search_charts(result: SearchResult) -> list[Chart]:
    """Accuracy against each objective, hypervolume over trials, fresh seeds, and importance."""
    found: list[Chart] = [_costs(name, result) for name in result.config.objectives]
    found.append(_volume(result))
    if result.evidence:
        found.append(_differences(result))
    return [*found, _importance(result)] if result.importance else found


def placements(result: SearchResult) -> list[Attachment]:
    """The placements of the front."""
    return [
        Attachment(each.name, yaml_files.text(each.placement.as_dict()))
        for each in result.front
        if each.placement is not None
    ]


def _costs(objective: str, result: SearchResult) -> Plot:
    front = {each.number for each in result.front}
    others = [each for each in result.trials if each.number not in front]
    series = [
        Series("tried", [_point(each, objective) for each in others]),
        Series("Pareto front", [_point(each, objective) for each in result.front]),
    ]
    return Plot(
        title=f"Accuracy against {objective}",
        text="Every candidate that was trained. A click on one of the front opens its placement.",
        x=Axis(f"added {objective}"),
        y=Axis("held-out accuracy", is_percent=True),
        series=[each for each in series if each.points],
    )


def _point(candidate: Candidate, objective: str) -> Point:
    cost = candidate.added[objective]
    shown = parse_figure(objective).text(cost)
    label = (
        f"{candidate.name}, trial {candidate.number}\n+{shown}\n{units.share(candidate.accuracy)}"
    )
    return Point(cost, candidate.accuracy, label, attachment=candidate.name)


def _volume(result: SearchResult) -> Plot:
    points = [
        Point(number, volume, f"after {number} trials\n{volume:.3f}")
        for number, volume in enumerate(result.volume, 1)
    ]
    return Plot(
        title="Hypervolume over trials",
        text="What the trials so far cover of the box between the worst and the best values.",
        x=Axis("trials"),
        y=Axis("hypervolume"),
        series=[Series("hypervolume", points, "line")],
    )


def _differences(result: SearchResult) -> Plot:
    points = []
    for name, found in result.evidence.items():
        low, high = found.interval or (None, None)
        label = f"{name}\n{100 * found.mean:+.2f} points, {found.verdict}"
        points.append(Point(found.mean, name, label, low, high, attachment=name))
    verdicts = "; ".join(f"{name}: {each.verdict}" for name, each in result.evidence.items())
    return Plot(
        title="The front on fresh seeds",
        text=f"Differences to the baseline on {len(result.seeds)} seeds that chose nothing, with "
        f"the intervals of the verdicts. {verdicts}.",
        x=Axis("difference in accuracy", is_percent=True),
        y=Axis(""),
        series=[Series("difference", points)],
        marks=[0.0],
    )


def _importance(result: SearchResult) -> Bars:
    return Bars(
        title="What accuracy depended on",
        text="Parts of the variance over the trials, by fANOVA.",
        axis=Axis("of the variance", is_percent=True),
        bars=[Bar(name, part, units.share(part)) for name, part in result.importance.items()],
    )
