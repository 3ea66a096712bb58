"""The plan of a search as a report: candidates by cost alone, and what both reports share."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from bamctl import units
from bamctl.attention.kinds import kind_of
from bamctl.nas.costs import Costs
from bamctl.nas.goals import Goal, figures_data, parse_goal
from bamctl.nas.setup import SearchSetup
from bamctl.networks import inputs
from bamctl.placement.metrics import Amount
from bamctl.placement.sites import Site
from bamctl.report._wording import CONVENTION, CONVENTION_LINE, SCHEMA, fraction
from bamctl.report.document import Column, Report, Table


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
        *(column for goal in costs.goals for column in figure_columns(goal)),
    ]
    table = Table(
        columns,
        [[str(len(sites)), summary(sites), *figures(added, setup)] for sites, added in front],
    )
    text = (
        f"{counted(costs)} The front by cost alone: as many sites as can be had, and the least "
        f"{' and '.join(setup.config.objectives)}."
    )
    return Report(heading(setup), [text, table, CONVENTION_LINE], _plan_data(setup, front))


def heading(setup: SearchSetup) -> str:
    """Return the heading of a report of a search."""
    training = setup.config.training
    return f"{training.model}   {inputs.text(training.input)}   {training.source}"


def counted(costs: Costs) -> str:
    """Return how many candidates there are, and how many within the budgets."""
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
    return "; ".join(f"{', '.join(s.name for s in own)}: {how}" for how, own in groups)


def figure_columns(goal: Goal) -> list[Column]:
    """Return the columns of a figure and of its share."""
    return [Column(goal.title, "right"), Column("", "right")]


def figures(added: dict[Goal, Amount], setup: SearchSetup) -> list[str]:
    """Return the cells of what a candidate adds."""
    cells = []
    for goal, base in base_figures(setup).items():
        cells += [f"+{goal.metric.cell(added[goal])}", units.percent(fraction(added[goal], base))]
    return cells


def base_figures(setup: SearchSetup) -> dict[Goal, Amount]:
    """Return the figures of the unmodified network."""
    return setup.costs.amounts(setup.costs.base)


def _plan_data(
    setup: SearchSetup, front: Sequence[tuple[tuple[Site, ...], dict[Goal, Amount]]]
) -> dict[str, Any]:
    return {
        **common_data(setup),
        "cheapest": [
            {"num_sites": len(sites), "placement": summary(sites), **added_data(added)}
            for sites, added in front
        ],
    }


def common_data(setup: SearchSetup) -> dict[str, Any]:
    """Return what the JSON of both reports begins with."""
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
        "base": figures_data(base_figures(setup)),
        "convention": CONVENTION,
    }


def added_data(added: dict[Goal, Amount]) -> dict[str, Amount]:
    """Return what a candidate adds, by its JSON keys."""
    return {f"added_{key}": value for key, value in figures_data(added).items()}
