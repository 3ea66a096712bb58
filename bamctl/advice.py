"""What would bring a placement within its limits, giving up as little as possible."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from bamctl.figures import Figure, Priced, figure, price_sites, spent
from bamctl.metrics import METRICS, Amount
from bamctl.sites import Site


@dataclass(frozen=True)
class Advice:
    """A change of the placement, and the figures that it would have."""

    change: str
    figures: dict[str, Figure]


def advise(priced: Priced, limits: Mapping[str, Fraction]) -> Advice | None:
    """The change that meets all limits and keeps the most of what exceeds them, if there is one.

    The changes are to drop one site or the most expensive ones, and to double the reduction
    ratio, once or several times, at one site or at all.

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

    options = [
        (change, price_sites(priced.subject, priced.placement, sites))
        for change, sites in _changes(priced)
    ]
    for change, changed in sorted(options, key=kept, reverse=True):
        figures = {metric: figure(metric, changed) for metric in limits}
        if all(figures[metric].value <= most for metric, most in limits.items()):
            return Advice(change, figures)
    return None


def _ranking(priced: Priced, metric: str) -> Amount:
    """What a placement adds to a metric, or to the one that it follows from."""
    return METRICS[METRICS[metric].follows or metric].added(priced)


def _changes(priced: Priced) -> Iterator[tuple[str, tuple[Site, ...]]]:
    sites = priced.placed.sites
    for site in sites if len(sites) > 1 else ():
        yield f"drop {site.point.module}", tuple(other for other in sites if other != site)
    for costs in spent(priced).values():
        yield from _without_the_dearest(sites, costs)
    for site in sites:
        for raised in _raised(site):
            text = f"raise r at {site.point.module} to {raised.attention.reduction}"
            yield text, tuple(raised if other == site else other for other in sites)
    before, factor = sites, 2
    while len(sites) > 1 and (after := tuple(_raise(site, factor) for site in sites)) != before:
        # Where one channel is left in the hidden layers, a larger r changes nothing more.
        yield f"raise r at every site to {max(site.attention.reduction for site in after)}", after
        before, factor = after, 2 * factor


def _without_the_dearest(
    sites: tuple[Site, ...], costs: tuple[Amount, ...]
) -> Iterator[tuple[str, tuple[Site, ...]]]:
    cost = dict(zip(sites, costs, strict=True))
    dearest = sorted(sites, key=cost.__getitem__, reverse=True)
    for number in range(2, len(sites)):
        kept = tuple(site for site in sites if site not in dearest[:number])
        names = ", ".join(site.point.module for site in sites if site not in kept)
        yield f"drop {names}", kept


def _raised(site: Site) -> Iterator[Site]:
    before, factor = site, 2
    while (after := _raise(site, factor)) != before:
        yield after
        before, factor = after, 2 * factor


def _raise(site: Site, factor: int) -> Site:
    """The site with a larger reduction ratio, as long as that makes its hidden layers smaller."""
    if site.attention.module != "bam":
        return site
    channels, ratio = site.point.map.num_channels, site.attention.reduction
    while factor > 1 and channels // (ratio * factor // 2) <= 1:
        factor //= 2
    return replace(site, attention=site.attention.model_copy(update={"reduction": ratio * factor}))
