"""What an attention module adds to a network, in closed form, without a second trace."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn

from bamctl.attention.extra_block import ExtraBlock
from bamctl.feature_maps import FeatureMap
from bamctl.memory import kept_for_backward, on_meta
from bamctl.placement import Placement
from bamctl.sites import Site, resolve
from bamctl.traced_network import TracedNetwork
from bamctl.tracing import Trace


@dataclass(frozen=True)
class Cost:
    """What one or more attention modules add, for one image.

    `macs` and `elementwise_ops` are counted as in a `Trace`. `memory_bytes` is what training keeps
    for the backward pass beside the map that the module is given: the tensors that grow with the
    batch, without the few statistics per channel. The refined map is among them, since the layer
    after it keeps its input; only behind a network's very last map, which is averaged, none does.
    """

    params: int = 0
    macs: int = 0
    elementwise_ops: int = 0
    memory_bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.elementwise_ops + other.elementwise_ops,
            self.memory_bytes + other.memory_bytes,
        )

    def for_batch(self, size: int) -> "Cost":
        """The same modules, run on several maps for each image."""
        ops = (size * each for each in (self.macs, self.elementwise_ops, self.memory_bytes))
        return Cost(self.params, *ops)


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


def site_cost(site: Site, traced: TracedNetwork) -> Cost:
    """What one insertion adds to a traced network."""
    return COSTS[site.attention.module](site, traced.network, traced.trace)


def placement_cost(sites: tuple[Site, ...], traced: TracedNetwork) -> PlacementCost:
    """What the sites of a placement add to a traced network."""
    return PlacementCost(sites, tuple(site_cost(site, traced) for site in sites))


def place(placement: Placement, traced: TracedNetwork) -> PlacementCost:
    """Find the sites of a placement in a traced network, and what they add to it.

    Raises:
        InputError: the placement does not fit the network; `sites.resolve` says why.
    """
    return placement_cost(resolve(placement, traced.trunk), traced)


def bam_cost(
    at: FeatureMap,
    *,
    reduction: int,
    dilated_convs: int,
    branches: str,
    variant: str,
    init: str,
    bytes_per_element: int = 4,
    **_: Any,
) -> Cost:
    """What a `BAM` of these hyperparameters adds at a feature map.

    With C channels, A pixels, h hidden channels and n dilated convolutions, the channel branch has
    2Ch multiply-adds, the spatial branch ChA + 9nh²A + hA, or ChA + 27nh²A + hA where A is the
    pixels of all frames. Costs are for one map, whatever the batch of `at`.
    """
    hidden = max(at.num_channels // reduction, 1)
    has_channel, has_spatial = branches != "spatial", branches != "channel"
    gate = (at.num_channels if has_channel else 1) * (at.num_pixels if has_spatial else 1)
    cost = Cost()
    if has_channel:
        cost += _channel_branch(at, hidden, variant, bytes_per_element)
    if has_spatial:
        cost += _spatial_branch(at, hidden, dilated_convs, variant, bytes_per_element)
    if has_channel and has_spatial:
        cost += Cost(elementwise_ops=gate)
    if init == "identity":
        cost += Cost(params=1, elementwise_ops=gate)
    # The sigmoid, one product and one sum; of all that, only the refined map is kept.
    apply = gate + 2 * at.num_channels * at.num_pixels
    return cost + Cost(elementwise_ops=apply, memory_bytes=bytes_per_element * prod(at.shape))


def _channel_branch(at: FeatureMap, hidden: int, variant: str, width: int) -> Cost:
    channels = at.num_channels
    # The batch norm works on the hidden layer in the released code, on the result in the paper;
    # what comes after the last hidden layer is computed again instead of being kept.
    is_official = variant == "official"
    normalized = hidden if is_official else channels
    return Cost(
        params=2 * channels * hidden + hidden + channels + 2 * normalized,
        macs=2 * channels * hidden,
        elementwise_ops=channels * at.num_pixels + hidden + normalized,
        memory_bytes=width * (channels + hidden * (1 + is_official)),
    )


def _spatial_branch(
    at: FeatureMap, hidden: int, dilated_convs: int, variant: str, width: int
) -> Cost:
    hidden_layers, taps = 1 + dilated_convs, 3 ** len(at.extents)
    is_official = variant == "official"
    normalized = hidden * hidden_layers if is_official else 1
    return Cost(
        params=at.num_channels * hidden
        + hidden
        + dilated_convs * (taps * hidden**2 + hidden)
        + hidden
        + 1
        + 2 * normalized,
        macs=at.num_pixels * (at.num_channels * hidden + taps * dilated_convs * hidden**2 + hidden),
        elementwise_ops=at.num_pixels * (hidden * hidden_layers + normalized),
        memory_bytes=width * at.num_pixels * hidden * hidden_layers * (1 + is_official),
    )


def _bam_site(site: Site, model: nn.Module, trace: Trace) -> Cost:
    at = site.point.map
    width = trace.dtype.itemsize
    cost = bam_cost(at, **site.attention.hyperparameters(), bytes_per_element=width)
    return cost.for_batch(at.batch)


def _extra_block_site(site: Site, model: nn.Module, trace: Trace) -> Cost:
    """The traced cost of the block that is repeated, and with `identity` that of the residual."""
    assert site.repeated_block is not None
    at, identity = site.point.map, site.attention.init == "identity"
    # Only shapes matter here, so the copy has no weights.
    block = on_meta(model.get_submodule(site.repeated_block))
    control = ExtraBlock(block, site.attention.init).to("meta")
    # The residual of `identity` is a difference, its product with the scalar, and a sum.
    residual = 3 * at.num_channels * at.num_pixels * at.batch if identity else 0
    return Cost(
        params=sum(parameter.numel() for parameter in control.parameters()),
        macs=trace.macs[site.repeated_block],
        elementwise_ops=trace.elementwise_ops[site.repeated_block] + residual,
        memory_bytes=at.batch * kept_for_backward(control, at.shape),
    )


# How each attention module is priced, by the names of `bamctl.attention.MODULES`.
COSTS: dict[str, Callable[[Site, nn.Module, Trace], Cost]] = {
    "bam": _bam_site,
    "extra-block": _extra_block_site,
}
