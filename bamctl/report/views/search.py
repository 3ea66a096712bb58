"""A search as a report: the candidates by cost alone, and the front after training."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from bamctl import units
from bamctl.attention.kinds import kind_of
from bamctl.nas.costs import Costs
from bamctl.nas.goals import Goal, figures_data, parse_goal
from bamctl.nas.result import Candidate, SearchResult
from bamctl.nas.setup import SearchSetup
from bamctl.networks import inputs
from bamctl.placement.metrics import Amount
from bamctl.placement.sites import Site
from bamctl.report._wording import CONVENTION, SCHEMA, fraction, points, points_interval
from bamctl.report.charts.search import placements, search_charts
from bamctl.report.document import Column, Report, Table
from bamctl.training.curves import sparkline

_MOST_IMPORTANT = 8


def plan_report(setup: SearchSetup) -> Report:
    """Show the number of candidates, and the cheapest for each number of sites."""
    costs = setup.costs
    rows = costs.cheapest([parse_goal(each) for each in setup.config.objectives])
    front = [
        (setup.space.sites(codes), costs.amounts(added))
        for codes, added in zip(rows, costs.added(rows), strict=True)
    ]
    columns = [
        Column("sites", "right"),
        Column("placement"),
        *(column for goal in costs.goals for column in _figure_columns(goal)),
    ]
    table = Table(
        columns,
        [[str(len(sites)), summary(sites), *_figures(added, setup)] for sites, added in front],
    )
    counted = _counted(costs)
    text = (
        f"{counted} The front by cost alone: most sites for the least "
        f"{' and '.join(setup.config.objectives)}."
    )
    return Report(_heading(setup), [text, table, CONVENTION], _plan_data(setup, front))


def _heading(setup: SearchSetup) -> str:
    training = setup.config.training
    return f"{training.model}   {inputs.text(training.input)}   {training.data.name}"


def _counted(costs: Costs) -> str:
    total = f"{costs.space.count():,} different networks"
    if not costs.bounds:
        return f"{total}; no budget."
    limits = " and ".join(f"{each.goal}={each.limit.text}" for each in costs.bounds)
    if costs.within is not None:
        return f"{total}, of which {len(costs.within):,} are within {limits}."
    return f"{total}, too many to try each; candidates over {limits} are never trained."


def summary(sites: Sequence[Site]) -> str:
    """Format sites and modules in a line.

    Groups consecutive sites with the same module.
    """
    if not sites:
        return "none"
    groups = groupby(sites, key=lambda site: kind_of(site.attention).short(site.attention))
    return "; ".join(f"{', '.join(s.point.module for s in own)}: {how}" for how, own in groups)


def _figure_columns(goal: Goal) -> list[Column]:
    return [Column(goal.title, "right"), Column("", "right")]


def _figures(added: dict[Goal, Amount], setup: SearchSetup) -> list[str]:
    cells = []
    for goal, base in _base(setup).items():
        cells += [f"+{goal.metric.cell(added[goal])}", units.percent(fraction(added[goal], base))]
    return cells


def _base(setup: SearchSetup) -> dict[Goal, Amount]:
    """Return the figures of the unmodified network."""
    return setup.costs.amounts(setup.costs.base)


def _plan_data(
    setup: SearchSetup, front: Sequence[tuple[tuple[Site, ...], dict[Goal, Amount]]]
) -> dict[str, Any]:
    return {
        **_common_data(setup),
        "cheapest": [
            {"num_sites": len(sites), "placement": summary(sites), **_added_data(added)}
            for sites, added in front
        ],
    }


def _common_data(setup: SearchSetup) -> dict[str, Any]:
    config, within = setup.config, setup.costs.within
    return {
        "schema": SCHEMA,
        "model": config.training.model,
        "input_shape": list(setup.subject.trace.input_shape),
        "data": config.training.data.name,
        "candidates": setup.space.count(),
        "candidates_within_budget": None if within is None else len(within),
        "budget": config.budget,
        "objectives": config.objectives,
        "base": figures_data(_base(setup)),
        "convention": CONVENTION,
    }


def _added_data(added: dict[Goal, Amount]) -> dict[str, Amount]:
    return {f"added_{key}": value for key, value in figures_data(added).items()}


def _added(candidate: Candidate) -> dict[Goal, Amount]:
    return {parse_goal(name): value for name, value in candidate.added.items()}


def search_report(result: SearchResult) -> Report:
    """Show the front, its confirmation on fresh seeds, and the importance of parameters."""
    setup = result.setup
    blocks: list[Table | str] = [
        _what_was_done(result),
        _front_table(result),
        *_verdicts(result),
        *_importance(result),
        *_remarks(result),
        _footnote(result),
    ]
    data = {
        **_common_data(setup),
        "folder": str(result.folder),
        "recipe": result.config.training.recipe.model_dump(),
        "seeds": result.config.training.seeds,
        "confirmation_seeds": list(result.seeds),
        "trials": [_trial_data(each, result) for each in result.trials],
        "failed": result.failed,
        "front": [_trial_data(each, result) for each in result.front],
        "hypervolume": list(result.volume),
        "importance": result.importance,
    }
    records = [
        {"trial": each.number, "name": each.name, "accuracy": each.accuracy, "steps": each.steps}
        | _added_data(_added(each))
        for each in result.trials
    ]
    return Report(
        _heading(setup),
        blocks,
        data,
        records,
        charts=search_charts(result),
        attachments=placements(result),
    )


def _what_was_done(result: SearchResult) -> str:
    config, recipe = result.config, result.config.training.recipe
    seeds = len(config.training.seeds)
    steps = " to ".join(dict.fromkeys(map(str, (config.steps()[0], config.steps()[-1]))))
    return (
        f"{len(result.trials)} candidates of {steps} steps of {recipe.batch_size} images each, "
        f"with {'1 seed' if seeds == 1 else f'{seeds} seeds'}, proposed by {config.sampler}. "
        f"{_counted(result.setup.costs)} Hypervolume over trials: "
        f"{sparkline(_thinned(result.volume), 0.0, 1.0)} {result.volume[-1]:.3f}."
    )


def _thinned(values: Sequence[float], most: int = 40) -> list[float]:
    step = -(-len(values) // most)
    return list(values)[::step]


def _front_table(result: SearchResult) -> Table:
    columns = [
        Column("front"),
        Column("accuracy", "right"),
        Column("", "right"),
        *(column for goal in result.setup.costs.goals for column in _figure_columns(goal)),
        Column("placement"),
    ]
    rows = [
        [
            each.name,
            units.share(each.accuracy),
            points(each.accuracy - result.baseline.accuracy) if any(each.codes) else "",
            *_figures(_added(each), result.setup),
            summary(result.setup.space.sites(each.codes)),
        ]
        for each in result.front
    ]
    return Table(columns, rows)


def _verdicts(result: SearchResult) -> list[Table | str]:
    if not result.evidence:
        return []
    columns = [
        Column("on fresh seeds"),
        Column("points", "right"),
        Column("interval", "right"),
        Column("level", "right"),
        Column("verdict"),
        Column("file"),
    ]
    rows = [
        [
            f"{name} - baseline",
            points(found.mean),
            points_interval(found.interval),
            f"{100 * found.confidence:.3g} %",
            found.verdict,
            str(result.files[name]),
        ]
        for name, found in result.evidence.items()
    ]
    open_ones = [found.verdict == "inconclusive" for found in result.evidence.values()]
    sure = frozenset(i for i, is_open in enumerate(open_ones) if not is_open)
    return [Table(columns, rows, sure)]


def _importance(result: SearchResult) -> list[str]:
    if not result.importance:
        return []
    most = list(result.importance.items())[:_MOST_IMPORTANT]
    listed = ", ".join(f"{name} {units.share(share)}" for name, share in most)
    return [f"Importance for accuracy (fANOVA; rough with so few trials): {listed}."]


def _remarks(result: SearchResult) -> list[str]:
    remarks = [f"{name}: not trained, {reason}." for name, reason in result.failed.items()]
    return ["\n".join(remarks)] if remarks else []


def _footnote(result: SearchResult) -> str:
    fresh = (
        f" The second table is of {len(result.seeds)} fresh seeds, since the best of many is "
        "partly chance; its levels are Holm-corrected: all verdicts together hold at 95 %."
        if result.evidence
        else ""
    )
    return (
        f"Front: no other candidate is both as accurate and as cheap. Accuracy: on the held-out "
        "images after the last step, followed by the difference to the baseline with the same "
        f"seeds.{fresh} Hypervolume: dominated share of the box between the worst and the best "
        f"value of every objective.\n{CONVENTION}"
    )


def _trial_data(candidate: Candidate, result: SearchResult) -> dict[str, Any]:
    base = {goal.name: value for goal, value in _base(result.setup).items()}
    data = {
        "number": candidate.number,
        "name": candidate.name,
        "placement": candidate.placement and candidate.placement.as_dict(),
        "accuracy": candidate.accuracy,
        "delta": candidate.accuracy - result.baseline.accuracy,
        "steps": candidate.steps,
        **_added_data(_added(candidate)),
        "params_overhead": fraction(candidate.added["params"], base["params"]),
        "macs_overhead": fraction(candidate.added["macs"], base["macs"]),
    }
    found = result.evidence.get(candidate.name)
    if found is not None:
        data["file"] = str(result.files[candidate.name])
        data["confirmed"] = {
            "delta_mean": found.mean,
            "delta_interval": found.interval,
            "delta_ci95": found.ci95,
            "confidence": found.confidence,
            "p_value": found.p_value,
            "verdict": found.verdict,
        }
    return data
