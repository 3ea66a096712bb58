"""The gate of an SE for one image."""

from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from bamctl.attention.kind import GateMaps
from bamctl.attention.wrapped.module import Wrapped


def gate_maps(module: nn.Module, x: Tensor) -> GateMaps:
    """Return the scale of each channel, and the gate that it is less one, for one image."""
    assert isinstance(module, Wrapped)
    assert isinstance(module.module, SqueezeExcitation)
    scales: list[Tensor] = []
    last: nn.Module = module.module.scale_activation
    hook = last.register_forward_hook(lambda layer, given, result: scales.append(result))
    try:
        after = module.layout.to_channels_first(module(x))
    finally:
        hook.remove()
    gate = scales[0] - 1
    return GateMaps(
        gate=gate if module.scale is None else gate * module.scale,
        before=module.layout.to_channels_first(x),
        after=after,
        channel=scales[0].flatten(),
    )
