import copy
import time

import numpy as np
import pytest

from bamctl.errors import InputError
from bamctl.nas._front import is_front
from bamctl.nas._space import Space
from bamctl.nas.choices import Choices
from bamctl.nas.costs import Costs
from bamctl.nas.goals import parse_goal
from bamctl.networks.inputs import read
from bamctl.networks.spec import NetworkSpec
from bamctl.surgery.insert import insert_sites
from bamctl.timing.placed import Estimator
from bamctl.timing.profiles import find
from bamctl.tracing.trace import trace
from bamctl.trunk.traced import TracedNetwork
from tests.nas.table import SMALL, Searched, subject

WIDE = Choices(
    candidates=["all"],
    per_site=True,
    module=["bam", "extra-block"],
    variant=["paper", "official"],
    combine=["sum", "product", "max"],
)


def test_costs_are_those_of_a_retrace() -> None:
    space = Space(WIDE, subject().trunk)
    costs = Costs(subject(), space, [parse_goal("params"), parse_goal("macs")], {})
    rows = costs.draw(12, np.random.default_rng(0))
    for codes, (params, macs) in zip(rows, costs.added(rows), strict=True):
        network = copy.deepcopy(subject().network)
        if codes.any():
            insert_sites(network, space.sites(codes))
        again = trace(network, subject().trace.given)
        assert again.params - subject().trace.params == params
        assert again.macs[""] - subject().trace.macs[""] == macs


def test_latency_is_the_estimator_s() -> None:
    goal = parse_goal("latency@rtx3090")
    space = Space(SMALL, subject().trunk)
    costs = Costs(subject(), space, [goal], {})
    estimator = Estimator(subject().network, subject().trace, find("rtx3090"))
    rows = costs.draw(10, np.random.default_rng(0))
    for codes, (nanoseconds,) in zip(rows, costs.added(rows), strict=True):
        found = estimator.estimate(space.sites(codes))
        seconds = found.modified_seconds - found.base_seconds
        assert nanoseconds == pytest.approx(1e9 * seconds, abs=6)
        assert costs.amounts(np.array([nanoseconds]))[goal] == pytest.approx(seconds, abs=6e-9)
    assert costs.base[0] == round(1e9 * estimator.estimate([]).base_seconds)


def test_enumeration_is_every_candidate_within_the_budgets() -> None:
    searched = Searched(budget={"params": "+3 %", "macs": "+4 %"})
    costs, space = searched.costs, searched.space
    grid = np.indices((5,) * 6).reshape(6, -1).T
    added, base = costs.added(grid), costs.base
    fits = (100 * added[:, 0] <= 3 * base[0]) & (100 * added[:, 1] <= 4 * base[1])
    expected = {tuple(row) for row in grid[fits].tolist()}
    assert costs.within is not None
    assert {tuple(row) for row in costs.within.tolist()} == expected
    assert 0 < len(expected) < space.count()


def test_a_large_space_is_not_written_out() -> None:
    network = TracedNetwork.load(
        NetworkSpec(model="resnet50", num_classes=10, input=read("3x64x64"))
    )
    space = Space(Choices(per_site=True), network.trunk)
    costs = Costs(network, space, [parse_goal("params")], {})
    assert space.count() > 10**20
    assert costs.within is None


def test_the_front_by_cost_is_that_of_all_candidates() -> None:
    searched = Searched(budget={"params": "+15 %"}, changes={"objectives": ["params", "macs"]})
    costs = searched.costs
    goals = [parse_goal("params"), parse_goal("macs")]

    def values(rows: np.ndarray) -> np.ndarray:
        columns = [costs.goals.index(each) for each in goals]
        return np.column_stack([-(rows > 0).sum(axis=1), costs.added(rows)[:, columns]])

    every = values(costs.within)
    expected = {tuple(row) for row in every[is_front(every)].tolist()}
    assert {tuple(row) for row in values(costs.cheapest(goals)).tolist()} == expected


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (
            {"params": "+0.01 %"},
            "no candidate is within params=+0.01 %: the smallest achievable is",
        ),
        ({"macs": "1 kMACs"}, "no candidate is within macs=1 kMACs: the smallest achievable is"),
        ({"memory": "1 kB"}, "no candidate is within memory=1 kB: the smallest achievable is"),
    ],
)
def test_an_infeasible_budget_names_the_smallest_figure(budget: dict[str, str], words: str) -> None:
    costs = Searched(budget=budget).costs
    with pytest.raises(InputError, match=words.replace("+", r"\+")) as told:
        costs.check_feasible()
    goal = costs.goals[-1]
    column = costs.goals.index(goal)
    grid = np.indices((5,) * 6).reshape(6, -1).T[1:]
    least = int(costs.added(grid)[:, column].min() + costs.base[column])
    assert goal.metric.amount(least) in str(told.value)


def test_budgets_that_can_only_be_met_one_at_a_time_are_infeasible() -> None:
    """Early maps have few channels and many pixels: few parameters, and much to remember."""
    alone = Searched(budget={}, changes={"objectives": ["params", "memory"]}).costs
    single = np.eye(6, dtype=int)[:, None] * np.arange(1, 5)[:, None]
    least = alone.base + alone.added(single.reshape(-1, 6)).min(axis=0)
    for budget in ({"params": f"{least[0]} params"}, {"memory": f"{least[1]} B"}):
        Searched(budget=budget).costs.check_feasible()
    both = Searched(budget={"params": f"{least[0]} params", "memory": f"{least[1]} B"}).costs
    with pytest.raises(InputError, match="within all budgets together"):
        both.check_feasible()


def test_thousands_are_priced_in_the_time_of_few() -> None:
    """By the side of one candidate at a time, since seconds depend on the machine."""
    costs = Searched().costs
    rows = costs.draw(20_000, np.random.default_rng(0))
    started = time.perf_counter()
    costs.is_within(rows)
    together = time.perf_counter() - started
    started = time.perf_counter()
    for codes in rows[:1000]:
        costs.fits(codes)
    assert together < time.perf_counter() - started
