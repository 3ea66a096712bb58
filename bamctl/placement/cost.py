"""Costs of the sites of a placement, without a second trace."""

from dataclasses import dataclass

from bamctl.attention.cost import Cost
from bamctl.attention.kind import Site
from bamctl.attention.kinds import kind_of
from bamctl.placement.placement import Placement
from bamctl.placement.sites import resolve
from bamctl.trunk.traced import TracedNetwork

__all__ = ["Cost", "PlacementCost", "placement_cost", "site_cost"]


@dataclass(frozen=True)
class PlacementCost:
    """The sites of a placement and their costs.

    `unavailable` is the reason why the placement cannot be applied to this network, if it cannot.
    """

    sites: tuple[Site, ...]
    costs: tuple[Cost, ...]
    unavailable: str | None = None

    @property
    def total(self) -> Cost:
        """The sum over all sites."""
        return sum(self.costs, Cost())

    @property
    def modules(self) -> list[str]:
        """The names of the sites: the modules whose outputs are refined."""
        return [site.name for site in self.sites]


def site_cost(site: Site, traced: TracedNetwork) -> Cost:
    """Return the cost that one site adds to a traced network."""
    return kind_of(site.attention).cost(site, traced)


def placement_cost(sites: tuple[Site, ...], traced: TracedNetwork) -> PlacementCost:
    """Return the costs that sites add to a traced network."""
    return PlacementCost(sites, tuple(site_cost(site, traced) for site in sites))


def place(placement: Placement, traced: TracedNetwork) -> PlacementCost:
    """Find the sites of a placement in a traced network, and their costs.

    Raises:
        InputError: the placement does not fit the network; see `sites.resolve`.
    """
    return placement_cost(resolve(placement, traced.trunk), traced)
