"""The cost of a BAM in closed form; torch is not loaded."""

from math import prod
from typing import TYPE_CHECKING, Any

from bamctl.attention.cost import Cost

if TYPE_CHECKING:
    from bamctl.trunk.feature_maps import FeatureMap


def bam_cost(
    at: "FeatureMap",
    *,
    reduction: int,
    dilated_convs: int,
    branches: str,
    variant: str,
    init: str,
    bytes_per_element: int = 4,
    **_: Any,
) -> Cost:
    """Return the cost of a `BAM` with these hyperparameters at a feature map.

    With C channels, A pixels, h hidden channels and n dilated convolutions, the channel branch has
    2Ch multiply-adds and the spatial branch ChA + 9nh²A + hA; for video ChA + 27nh²A + hA, with A
    the pixels of all frames. Costs are for one map, regardless of `at.batch`.
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
    # The sigmoid, one product and one sum; of their results, only the refined map is saved.
    apply = gate + 2 * at.num_channels * at.num_pixels
    return cost + Cost(elementwise_ops=apply, memory_bytes=bytes_per_element * prod(at.shape))


def _channel_branch(at: "FeatureMap", hidden: int, variant: str, width: int) -> Cost:
    channels = at.num_channels
    # The batch norm is on the hidden layer in the released code, on the result in the paper; layers
    # after the last hidden layer are recomputed instead of saved.
    is_official = variant == "official"
    normalized = hidden if is_official else channels
    return Cost(
        params=2 * channels * hidden + hidden + channels + 2 * normalized,
        macs=2 * channels * hidden,
        elementwise_ops=channels * at.num_pixels + hidden + normalized,
        memory_bytes=width * (channels + hidden * (1 + is_official)),
    )


def _spatial_branch(
    at: "FeatureMap", hidden: int, dilated_convs: int, variant: str, width: int
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
