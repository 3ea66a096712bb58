"""What attention modules add to a network, in closed form, without a second trace."""

from dataclasses import dataclass

from torch import nn

from bamctl.attention.cost import Cost
from bamctl.attention.kind import Site
from bamctl.attention.kinds import kind_of
from bamctl.tracing import Trace

__all__ = ["Cost", "PlacementCost", "placement_cost", "site_cost"]


@dataclass(frozen=True)
class PlacementCost:
    """The sites of a placement, what each adds, and what they add together.

    `unavailable` says why the placement cannot be made in this network, if it cannot.
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
        """The modules whose outputs are refined."""
        return [site.point.module for site in self.sites]


def site_cost(site: Site, model: nn.Module, trace: Trace) -> Cost:
    """What one insertion adds to a traced network."""
    return kind_of(site.attention).cost(site, model, trace)


def placement_cost(sites: tuple[Site, ...], model: nn.Module, trace: Trace) -> PlacementCost:
    """What the sites of a placement add to a traced network."""
    return PlacementCost(sites, tuple(site_cost(site, model, trace) for site in sites))
