"""What candidates cost, many at a time: every figure is a sum over the sites."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Any

import numpy as np

from bamctl.budget import Limit
from bamctl.cost import Cost, site_cost
from bamctl.errors import InputError
from bamctl.search.front import is_front
from bamctl.search.goals import Figure
from bamctl.search.space import Codes, Space
from bamctl.traced_network import TracedNetwork

# As many candidates are written out; beyond that they are drawn.
MOST_ENUMERATED = 500_000
_MOST_AT_ONCE = 4 * MOST_ENUMERATED


@dataclass(frozen=True)
class Bound:
    """A budget in this network: the figure may not be more than `most`."""

    figure: Figure
    limit: Limit
    most: int


class Costs:
    """The figures of every candidate of a space, from a table of what each option adds.

    Args:
        subject: the network.
        space: the candidates.
        figures: what is asked for; nanoseconds of a batch of one, bytes, or counts.
        budgets: limits, each of one of the figures.

    Raises:
        InputError: there is no profile of a device.
    """

    def __init__(
        self,
        subject: TracedNetwork,
        space: Space,
        figures: Sequence[Figure],
        budgets: Mapping[Figure, Limit],
    ) -> None:
        self.space = space
        self.figures = tuple(dict.fromkeys([*figures, *budgets]))
        columns = [_column(subject, space, figure) for figure in self.figures]
        self.base = np.array([base for base, _ in columns], dtype=np.int64)
        self._table = _table([added for _, added in columns], space)
        self.bounds = tuple(
            Bound(figure, limit, floor(limit.above(int(self.base[self.figures.index(figure)]))))
            for figure, limit in budgets.items()
        )
        most = np.full(len(self.figures), np.iinfo(np.int64).max)
        for bound in self.bounds:
            most[self.figures.index(bound.figure)] = bound.most
        self._most_added = most - self.base

    def added(self, codes: Codes) -> np.ndarray:
        """What candidates with shape (N, sites) add to each figure, with shape (N, figures)."""
        codes = np.asarray(codes)
        total = np.zeros((len(codes), len(self.figures)), dtype=np.int64)
        for site, table in enumerate(self._table):
            total += table[codes[:, site]]
        return total

    def is_within(self, codes: Codes) -> np.ndarray:
        """Which candidates with shape (N, sites) are within every budget."""
        return np.asarray((self.added(codes) <= self._most_added).all(axis=1))

    def fits(self, codes: Sequence[int]) -> bool:
        """Whether one candidate is within every budget."""
        return bool(self.is_within(np.array([codes]))[0])

    def check_feasible(self) -> None:
        """Refuse budgets that no candidate but the baseline meets, with what could be met.

        One module is the cheapest candidate, since none costs less than nothing.

        Raises:
            InputError: there is none within them.
        """
        added = self.added(self._single_sites())
        if (added <= self._most_added).all(axis=1).any():
            return
        least = self.base + added.min(axis=0)
        for bound in self.bounds:
            column = self.figures.index(bound.figure)
            if least[column] > bound.most:
                told = bound.figure.text(int(least[column]))
                raise InputError(
                    f"no candidate is within {bound.figure}={bound.limit.text}: the smallest "
                    f"achievable is {told} ({self._overhead(column, added[:, column].min())})"
                )
        # Each can be met alone; the candidate that is over by the smallest part.
        over = (added / np.maximum(self._most_added, 1)).max(axis=1)
        nearest = added[over.argmin()]
        figures = ", ".join(
            f"{figure} {self._overhead(column, nearest[column])}"
            for column, figure in enumerate(self.figures)
            if figure in {bound.figure for bound in self.bounds}
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
        """The product of codes, without what is over budget already with the sites so far."""
        rows = np.zeros((1, len(group)), dtype=np.int16)
        for site, codes in enumerate(group):
            if len(rows) * len(codes) > _MOST_AT_ONCE:
                return None
            longer = _with_each(rows, site, codes)
            rows = longer[self.is_within(longer)]
        return rows

    def draw(self, count: int, rng: np.random.Generator) -> Codes:
        """Random candidates of the whole space, whatever they cost."""
        groups = list(self.space.groups())
        chosen = rng.integers(len(groups), size=count)
        rows = np.zeros((count, len(self.space.places)), dtype=np.int16)
        for number, group in enumerate(groups):
            mine = np.flatnonzero(chosen == number)
            for site, codes in enumerate(group):
                rows[mine, site] = rng.choice(codes, size=len(mine))
        return rows

    def cheapest(self, figures: Sequence[Figure]) -> Codes:
        """The front by cost alone: more sites, and less of some figures, within the budgets.

        Found site by site, since what is not on the front of some sites is on none of more; the
        bounded figures are among those that decide, until all sites are done.
        """
        columns = [self.figures.index(each) for each in figures]
        bounded = [self.figures.index(bound.figure) for bound in self.bounds]
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
        # One of several that cost the same is enough.
        values, first = np.unique(values, axis=0, return_index=True)
        kept = first[is_front(values)]
        by_sites = np.argsort((rows[kept] > 0).sum(axis=1), kind="stable")
        front: Codes = rows[kept[by_sites]]
        return front


def _with_each(rows: Codes, site: int, codes: Sequence[int]) -> Codes:
    """Every row with each of some codes at a site."""
    longer = np.repeat(rows, len(codes), axis=0)
    longer[:, site] = np.tile(np.array(codes, dtype=np.int16), len(rows))
    return longer


def _column(subject: TracedNetwork, space: Space, figure: Figure) -> tuple[int, Iterator[int]]:
    """A figure of the bare network, and what each option of each place adds, in their order."""
    if figure.device is not None:
        return _latency(subject, space, figure.device)
    base = {
        "params": lambda: subject.trace.params,
        "macs": lambda: subject.trace.macs[""],
        "memory": lambda: subject.memory_bytes,
    }[figure.metric]()
    costs = (site_cost(site, subject) for place in space.places for site in place.options)
    return base, (_of(cost, figure) for cost in costs)


def _of(cost: Cost, figure: Figure) -> int:
    fields: dict[Any, int] = {
        "params": cost.params,
        "macs": cost.macs,
        "memory": cost.memory_bytes,
    }
    return fields[figure.metric]


def _latency(subject: TracedNetwork, space: Space, device: str) -> tuple[int, Iterator[int]]:
    from bamctl.latency.placed import Estimator
    from bamctl.latency.profiles import find

    estimator = Estimator(subject.network, subject.trace, find(device))
    sites = (site for place in space.places for site in place.options)
    added = (sum(estimator.estimate([site]).sites.values()) for site in sites)
    return round(1e6 * estimator.estimate([]).base_ms), (round(1e6 * ms) for ms in added)


def _table(columns: Sequence[Iterator[int]], space: Space) -> list[np.ndarray]:
    """For each place, what each code adds to each figure, with shape (codes, figures)."""
    tables = []
    for place in space.places:
        rows = [[next(column) for column in columns] for _ in place.options]
        none = [0] * len(columns)
        tables.append(np.array([none, *rows], dtype=np.int64))
    return tables
