"""Costs of candidates, many at a time: every figure is a sum over the sites."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Any

import numpy as np

from bamctl.budgets.figures import Priced, Timed, price_sites
from bamctl.errors import InputError
from bamctl.nas._front import is_front
from bamctl.nas._space import Codes, Space
from bamctl.nas.goals import Goal
from bamctl.placement.budget import Limit
from bamctl.placement.metrics import Amount
from bamctl.placement.placement import Placement
from bamctl.trunk.traced import TracedNetwork

# Up to this number, candidates are enumerated; above it, they are drawn.
MOST_ENUMERATED = 500_000
_MOST_AT_ONCE = 4 * MOST_ENUMERATED


@dataclass(frozen=True)
class Bound:
    """A budget in this network: the figure may be at most `most`, in its resolution."""

    goal: Goal
    limit: Limit
    most: int


class Costs:
    """The figures of every candidate of a space, from a table of what each option adds.

    Figures are whole multiples of the resolution of their metric, so that sums are exact: counts,
    bytes, and the nanoseconds of a batch of one.

    Args:
        subject: the network.
        space: the candidates.
        goals: the figures.
        budgets: limits, each of one of the figures.

    Raises:
        InputError: there is no profile of a device.
    """

    def __init__(
        self,
        subject: TracedNetwork,
        space: Space,
        goals: Sequence[Goal],
        budgets: Mapping[Goal, Limit],
    ) -> None:
        self.space = space
        self.goals = tuple(dict.fromkeys([*goals, *budgets]))
        columns = _columns(subject, space, self.goals)
        self.base = np.array([base for base, _ in columns], dtype=np.int64)
        self._table = _table([added for _, added in columns], space)
        self.bounds = tuple(self._bound(goal, limit) for goal, limit in budgets.items())
        most = np.full(len(self.goals), np.iinfo(np.int64).max)
        for bound in self.bounds:
            most[self.goals.index(bound.goal)] = bound.most
        self._most_added = most - self.base

    def _bound(self, goal: Goal, limit: Limit) -> Bound:
        step = Fraction(goal.metric.resolution)
        base = int(self.base[self.goals.index(goal)]) * step
        return Bound(goal, limit, floor(limit.above(base) / step))

    def amounts(self, figures: np.ndarray) -> dict[Goal, Amount]:
        """Convert figures of a candidate, with shape (figures,), to the units of their metrics."""
        pairs = zip(self.goals, figures.tolist(), strict=True)
        return {goal: goal.metric.from_steps(steps) for goal, steps in pairs}

    def added(self, codes: Codes) -> np.ndarray:
        """Return added figures, with shape (N, figures), of candidates with shape (N, sites)."""
        codes = np.asarray(codes)
        total = np.zeros((len(codes), len(self.goals)), dtype=np.int64)
        for site, table in enumerate(self._table):
            total += table[codes[:, site]]
        return total

    def is_within(self, codes: Codes) -> np.ndarray:
        """Return which candidates with shape (N, sites) are within every budget."""
        return np.asarray((self.added(codes) <= self._most_added).all(axis=1))

    def fits(self, codes: Sequence[int]) -> bool:
        """Return whether one candidate is within every budget."""
        return bool(self.is_within(np.array([codes]))[0])

    def check_feasible(self) -> None:
        """Raise for budgets that only the baseline meets, with the nearest that could be met.

        Only single modules are tried, since costs are nonnegative.

        Raises:
            InputError: no candidate is within the budgets.
        """
        added = self.added(self._single_sites())
        if (added <= self._most_added).all(axis=1).any():
            return
        least = self.base + added.min(axis=0)
        for bound in self.bounds:
            column, metric = self.goals.index(bound.goal), bound.goal.metric
            if least[column] > bound.most:
                told = metric.amount(metric.from_steps(int(least[column])))
                raise InputError(
                    f"no candidate is within {bound.goal}={bound.limit.text}: the smallest "
                    f"achievable is {told} ({self._overhead(column, added[:, column].min())})"
                )
        # Each budget can be met alone; report the candidate with the smallest relative excess.
        over = (added / np.maximum(self._most_added, 1)).max(axis=1)
        nearest = added[over.argmin()]
        figures = ", ".join(
            f"{goal} {self._overhead(column, nearest[column])}"
            for column, goal in enumerate(self.goals)
            if goal in {bound.goal for bound in self.bounds}
        )
        raise InputError(f"no candidate is within all budgets together; the nearest has {figures}")

    def _overhead(self, column: int, added: np.integer[Any]) -> str:
        base = int(self.base[column])
        return f"+{100 * int(added) / base:.3g} %" if base else f"+{added:,}"

    def _single_sites(self) -> Codes:
        rows = []
        for i in self.space.searched:
            for code in range(1, 1 + len(self.space.places[i].options)):
                row = [0] * len(self.space.places)
                row[i] = code
                rows.append(row)
        return np.array(rows)

    @cached_property
    def within(self) -> Codes | None:
        """Every candidate within the budgets in a fixed order; None where they are too many."""
        found: list[np.ndarray] = []
        for group in self.space.groups():
            rows = self._product(group)
            if rows is None or sum(map(len, found)) + len(rows) > _MOST_AT_ONCE:
                return None
            found.append(rows)
        every = np.unique(np.concatenate(found), axis=0)
        return every if len(every) <= MOST_ENUMERATED else None

    def _product(self, group: Sequence[Sequence[int]]) -> Codes | None:
        """Return the product of codes, pruning rows whose first sites already exceed a budget."""
        rows = np.zeros((1, len(group)), dtype=np.int16)
        for site, codes in enumerate(group):
            if len(rows) * len(codes) > _MOST_AT_ONCE:
                return None
            longer = _with_each(rows, site, codes)
            rows = longer[self.is_within(longer)]
        return rows

    def draw(self, count: int, rng: np.random.Generator) -> Codes:
        """Draw random candidates of the whole space, regardless of cost."""
        groups = list(self.space.groups())
        chosen = rng.integers(len(groups), size=count)
        rows = np.zeros((count, len(self.space.places)), dtype=np.int16)
        for number, group in enumerate(groups):
            mine = np.flatnonzero(chosen == number)
            for site, codes in enumerate(group):
                rows[mine, site] = rng.choice(codes, size=len(mine))
        return rows

    def cheapest(self, goals: Sequence[Goal]) -> Codes:
        """Find the front of more sites against less of some figures, within the budgets.

        Built site by site, since a candidate off the front of its first sites cannot be extended to
        one on the front; bounded figures count as objectives until all sites are done.
        """
        columns = [self.goals.index(each) for each in goals]
        bounded = [self.goals.index(bound.goal) for bound in self.bounds]
        deciding = sorted({*columns, *bounded})
        found = [row for group in self.space.groups() for row in self._cheapest_of(group, deciding)]
        return self._front(np.unique(np.array(found), axis=0), columns)

    def _cheapest_of(self, group: Sequence[Sequence[int]], columns: Sequence[int]) -> Codes:
        rows = np.zeros((1, len(group)), dtype=np.int16)
        for site, codes in enumerate(group):
            longer = _with_each(rows, site, codes)
            rows = self._front(longer[self.is_within(longer)], columns)
        return rows

    def _front(self, rows: Codes, columns: Sequence[int]) -> Codes:
        values = np.column_stack([-(rows > 0).sum(axis=1), self.added(rows)[:, columns]])
        # Keep one of several with the same costs.
        values, first = np.unique(values, axis=0, return_index=True)
        kept = first[is_front(values)]
        by_sites = np.argsort((rows[kept] > 0).sum(axis=1), kind="stable")
        front: Codes = rows[kept[by_sites]]
        return front


def _with_each(rows: Codes, site: int, codes: Sequence[int]) -> Codes:
    """Return every row with each of some codes at a site."""
    longer = np.repeat(rows, len(codes), axis=0)
    longer[:, site] = np.tile(np.array(codes, dtype=np.int16), len(rows))
    return longer


def _columns(
    subject: TracedNetwork, space: Space, goals: Sequence[Goal]
) -> list[tuple[int, Iterator[int]]]:
    """Return each figure of the bare network, and what each option adds to it, in order."""
    bare = price_sites(subject, Placement(), ())
    sites = [site for place in space.places for site in place.options]
    options = [price_sites(subject, Placement(), (site,)) for site in sites]
    return [_column(goal, bare, options) for goal in goals]


def _column(goal: Goal, bare: Priced, options: Iterable[Priced]) -> tuple[int, Iterator[int]]:
    metric = goal.metric
    if goal.device is not None:
        timed = _timer(bare.subject, goal.device)
        bare, options = timed(bare), map(timed, options)
    base = metric.in_steps(metric.base(bare))
    return base, (metric.in_steps(metric.added(option)) for option in options)


def _timer(subject: TracedNetwork, device: str) -> Callable[[Priced], Priced]:
    """Return a function that estimates times on the device of a profile."""
    from bamctl.timing.placed import Estimator
    from bamctl.timing.profiles import find

    estimator = Estimator(subject.network, subject.trace, find(device))

    def timed(priced: Priced) -> Priced:
        found = estimator.estimate(priced.placed.sites)
        return replace(priced, times=Timed(found.base_seconds, found.added_seconds))

    return timed


def _table(columns: Sequence[Iterator[int]], space: Space) -> list[np.ndarray]:
    """Return, for each place, what codes add to figures, with shape (codes, figures)."""
    tables = []
    for place in space.places:
        rows = [[next(column) for column in columns] for _ in place.options]
        none = [0] * len(columns)
        tables.append(np.array([none, *rows], dtype=np.int64))
    return tables
