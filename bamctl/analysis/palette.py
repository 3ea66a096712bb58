"""`palette`: what each kind of module costs at each place of a network, for every setting."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args, get_origin

from bamctl.attention.kind import AttentionKind
from bamctl.attention.kinds import KINDS, in_order
from bamctl.attention.settings import Settings, value_type
from bamctl.errors import InputError
from bamctl.placement.cost import Cost, site_cost
from bamctl.trunk.cut_points import CutPoint
from bamctl.trunk.strategies import STRATEGIES
from bamctl.trunk.traced import TracedNetwork


@dataclass(frozen=True)
class Option:
    """A setting with its choices, the usual one first; `is_priced` if a cost depends on it."""

    name: str
    choices: tuple[Any, ...]
    is_priced: bool


@dataclass(frozen=True)
class Place:
    """A map that a module of the network returns.

    `strategies` are those that select it, `stage` is the number of its stage, from 0, and `costs`
    has by kind a cost for each choice of the priced settings, in the order of their product; None
    where the module cannot be inserted. A place that no strategy selects has the kinds in use.
    """

    point: CutPoint
    strategies: tuple[str, ...]
    stage: int
    costs: Mapping[str, tuple[Cost | None, ...]]


@dataclass(frozen=True)
class Palette:
    """The places of a network, and the settings of each kind that a placement can choose from."""

    traced: TracedNetwork
    options: Mapping[str, tuple[Option, ...]]
    places: tuple[Place, ...]


def palette(
    traced: TracedNetwork,
    chosen: Iterable[Settings] = (),
    *,
    stages: int | Literal["all"] = 3,
    kinds: Iterable[str] = tuple(KINDS),
) -> Palette:
    """Price kinds of modules at every place of a network, for all choices of their settings.

    Args:
        traced: the network.
        chosen: settings that a placement has already; they are among the choices.
        stages: how many bottlenecks, counted from the deepest, or `all`.
        kinds: the kinds to choose from, beside those of `chosen`.
    """
    chosen = tuple(chosen)
    every = in_order([*(each.module for each in chosen), *kinds])
    points, pricing = _points(traced), _Pricing(traced)
    options = {name: tuple(_options(kind, chosen, pricing, points)) for name, kind in every.items()}
    selected = {
        name: {point.module for point in strategy.points(traced.trunk, stages)}
        for name, strategy in STRATEGIES.items()
    }
    used = {each.module for each in chosen} or {next(iter(every))}
    places = []
    for point in points:
        strategies = tuple(name for name, modules in selected.items() if point.module in modules)
        # Elsewhere, what is in use already suffices: a trace for each setting takes a while.
        priced = [name for name in every if strategies or name in used]
        costs = {name: tuple(pricing.all(every[name], point, options[name])) for name in priced}
        places.append(Place(point, strategies, _stage(point, traced), costs))
    return Palette(traced, options, tuple(places))


def _points(traced: TracedNetwork) -> list[CutPoint]:
    """Return every map on the trunk and off it, in the order of the forward pass."""
    trunk = traced.trunk
    every = [*trunk.points, *trunk.branches, *trunk.levels, *trunk.side_points.values()]
    found = {point.module: point for point in reversed(every)}
    return sorted(found.values(), key=lambda point: point.position)


def _stage(point: CutPoint, traced: TracedNetwork) -> int:
    stages = traced.trunk.stages
    ends = [stage.points[-1].position for stage in stages]
    return next((n for n, end in enumerate(ends) if point.position <= end), len(stages) - 1)


def _options(
    kind: AttentionKind,
    chosen: Iterable[Settings],
    pricing: "_Pricing",
    points: Iterable[CutPoint],
) -> Iterator[Option]:
    """Yield the settings of a kind that have a choice."""
    usual = kind.usual
    for name, field in type(usual).model_fields.items():
        if name in ("module", "args"):
            continue
        annotation = value_type(field)
        while get_args(annotation) and get_origin(annotation) is not Literal:
            annotation = get_args(annotation)[0]
        literal = get_args(annotation) if get_origin(annotation) is Literal else ()
        own = [getattr(each, name) for each in chosen if each.module == kind.name]
        searched = kind.searched.get(name, ())
        choices = tuple(dict.fromkeys([getattr(usual, name), *searched, *literal, *own]))
        if len(choices) > 1:
            changed = [usual.model_copy(update={name: choice}) for choice in choices]
            yield Option(name, choices, pricing.differ(kind, changed, points))


class _Pricing:
    """Costs in a network; equal modules on equal maps are priced once."""

    def __init__(self, traced: TracedNetwork) -> None:
        self._traced = traced
        self._known: dict[Any, Cost] = {}

    def all(
        self, kind: AttentionKind, point: CutPoint, options: Iterable[Option]
    ) -> Iterator[Cost | None]:
        """Yield a cost for each choice of the priced settings."""
        priced = [option for option in options if option.is_priced]
        for values in product(*(option.choices for option in priced)):
            named = {option.name: value for option, value in zip(priced, values, strict=True)}
            yield self.cost(kind, kind.usual.model_copy(update=named), point)

    def cost(self, kind: AttentionKind, settings: Settings, point: CutPoint) -> Cost | None:
        """Return what a module costs at a point, or None if it cannot be inserted there."""
        # A copy of a block is priced by running it, and stands where a block does.
        if kind.is_control and not point.block:
            return None
        try:
            site = kind.fit(point, settings, self._traced.trunk)
        except InputError:
            return None
        key = (point.map, settings, site.repeated_block)
        if key not in self._known:
            self._known[key] = site_cost(site, self._traced)
        return self._known[key]

    def differ(
        self, kind: AttentionKind, settings: Iterable[Settings], points: Iterable[CutPoint]
    ) -> bool:
        """Return whether settings cost something else at the first point that they fit."""
        several = list(settings)
        for point in points:
            costs = [self.cost(kind, each, point) for each in several]
            if None not in costs:
                return any(cost != costs[0] for cost in costs)
        return False
