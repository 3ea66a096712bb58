"""Advice: the smallest change that brings a placement within its limits."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain

from bamctl.attention.kind import Cheaper
from bamctl.attention.kinds import KINDS, kind_of
from bamctl.budgets.figures import Figure, Priced, figure, price_sites, spent
from bamctl.errors import InputError
from bamctl.placement.metrics import METRICS, Amount
from bamctl.placement.sites import Site


@dataclass(frozen=True)
class Advice:
    """A change of the placement, and the figures that it would have."""

    change: str
    figures: dict[str, Figure]


def advise(priced: Priced, limits: Mapping[str, Fraction]) -> Advice | None:
    """Find the change that meets all limits and reduces the exceeded figures least, if any.

    The changes are to drop one site or the most expensive ones, and to make modules cheaper, such
    as by a doubled reduction ratio, once or several times, at one site or at all. If none of them
    meets the limits, modules of another kind are tried at every site.

    Args:
        priced: a placement.
        limits: the most that each limited figure may be.

    Returns:
        None where no limit is exceeded, or where no such change meets them all.
    """
    exceeded = [metric for metric, most in limits.items() if figure(metric, priced).value > most]
    if not exceeded:
        return None

    def kept(option: tuple[str, Priced]) -> float:
        return sum(_ranking(option[1], metric) / float(limits[metric] or 1) for metric in exceeded)

    for changes in (_changes(priced), _other_kinds(priced)):
        options = [
            (change, price_sites(priced.subject, priced.placement, sites))
            for change, sites in changes
        ]
        for change, changed in sorted(options, key=kept, reverse=True):
            figures = {metric: figure(metric, changed) for metric in limits}
            if all(figures[metric].value <= most for metric, most in limits.items()):
                return Advice(change, figures)
    return None


def _ranking(priced: Priced, metric: str) -> Amount:
    """Return what a placement adds to a metric, or to the one that it follows from."""
    return METRICS[METRICS[metric].follows or metric].added(priced)


def _changes(priced: Priced) -> Iterator[tuple[str, tuple[Site, ...]]]:
    sites = priced.placed.sites
    for site in sites if len(sites) > 1 else ():
        yield f"drop {site.name}", tuple(other for other in sites if other != site)
    for costs in spent(priced).values():
        yield from _without_the_dearest(sites, costs)
    for site in sites:
        for step in _steps(site):
            text = f"{step.change} at {site.name} to {step.value}"
            changed = replace(site, attention=step.settings)
            yield text, tuple(changed if other == site else other for other in sites)
    if len(sites) > 1:
        yield from _everywhere(sites)


def _other_kinds(priced: Priced) -> Iterator[tuple[str, tuple[Site, ...]]]:
    """Yield the sites with modules of another kind in its default settings, with the same `init`.

    A point with several modules keeps one.
    """
    trunk, sites = priced.subject.trunk, priced.placed.sites
    present = {site.attention.module for site in sites}
    for name, kind in KINDS.items():
        if name in present or kind.is_control:
            continue
        points = {site.point.module: site for site in sites}.values()
        with suppress(InputError):  # where it does not fit
            changed = tuple(
                kind.fit(
                    site.point,
                    kind.usual.model_copy(update={"init": site.attention.init}),
                    trunk,
                )
                for site in points
            )
            yield f"insert {kind.noun} at every site instead", changed


def _without_the_dearest(
    sites: tuple[Site, ...], costs: tuple[Amount, ...]
) -> Iterator[tuple[str, tuple[Site, ...]]]:
    cost = dict(zip(sites, costs, strict=True))
    dearest = sorted(sites, key=cost.__getitem__, reverse=True)
    for number in range(2, len(sites)):
        kept = tuple(site for site in sites if site not in dearest[:number])
        names = ", ".join(site.name for site in sites if site not in kept)
        yield f"drop {names}", kept


def _steps(site: Site) -> Iterator[Cheaper]:
    """Yield changes of a site's settings, each cheaper than the one before."""
    kind = kind_of(site.attention)
    while step := kind.cheaper(site):
        yield step
        site = replace(site, attention=step.settings)


def _everywhere(sites: tuple[Site, ...]) -> Iterator[tuple[str, tuple[Site, ...]]]:
    """Yield one step at every site, then two, and so on; a site out of steps keeps its last."""
    steps = [list(_steps(site)) for site in sites]
    for number in range(1, 1 + max(map(len, steps))):
        last = [own[:number][-1:] for own in steps]
        most: dict[str, int] = {}
        for step in chain.from_iterable(last):
            most[step.change] = max(step.value, most.get(step.change, step.value))
        changes = (f"{change} at every site to {value}" for change, value in most.items())
        yield (
            " and ".join(changes),
            tuple(
                replace(site, attention=own[0].settings) if own else site
                for site, own in zip(sites, last, strict=True)
            ),
        )
