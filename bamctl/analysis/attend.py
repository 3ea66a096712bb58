"""Gates of inserted modules for an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bamctl.attention.kinds import KINDS, kind_of
from bamctl.data.images import eight_bit
from bamctl.data.sets import IMAGENET
from bamctl.errors import InputError, blame, first_line
from bamctl.files.atomic import check_can_read
from bamctl.networks.inserted import HOLDER, attached
from bamctl.networks.restoring import left_as_found
from bamctl.placement.sites import Site

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Image:
    """An image as the network's input, resized without cropping, and the original.

    `pixels` has shape (1, C, H, W), normalised; `original` has shape (H, W, 3), from 0 to 255.
    """

    name: str
    pixels: Tensor
    original: np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class SiteMaps:
    """The gate of one module for one image, at the resolution of its feature map.

    `spatial` is the spatial branch's Ms, with shape (H, W), and `channel` the channel branch's Mc,
    with shape (C,), before they are combined; None for a missing branch. `gate` is g in x + g * x,
    averaged over the channels, with shape (H, W); `before` and `after` are the means of the map's
    absolute values, likewise.
    """

    module: str
    spatial: Array | None
    channel: Array | None
    gate: Array
    before: Array
    after: Array


def open_image(
    path: Path,
    shape: Sequence[int],
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
) -> Image:
    """Read an image of any size for a network.

    It is resized without cropping, so that positions in a map correspond to positions in the image.

    Args:
        path: an image file in any format that Pillow opens.
        shape: channels (1 or 3), height and width of the network's input.
        mean: the mean of each channel, as a fraction of white.
        std: the standard deviation of each channel, likewise.

    Raises:
        InputError: the file is no image, the input is not that of an image, or the statistics do
            not match its channels.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError("the network's input is not an image of one or three channels")
    channels, height, width = shape
    check_can_read(path)
    try:
        with Pillow.open(path) as opened:
            # Apply the orientation in the EXIF data.
            turned = ImageOps.exif_transpose(opened)
            # The copy has lost its format, which `eight_bit` needs.
            turned.format = opened.format
            whole = eight_bit(turned).convert("RGB")
    except Exception as error:  # a decoder may raise anything for a file that is no image
        raise blame(error, f"cannot read {path} as an image", first_line(error)) from error
    sized = whole.convert("L" if channels == 1 else "RGB").resize((width, height))
    values = torch.from_numpy(np.array(sized, dtype=np.float32) / 255)
    pixels = values.reshape(height, width, channels).permute(2, 0, 1)
    centre, spread = (_of_channels(each, channels) for each in (mean, std))
    return Image(path.name, ((pixels - centre) / spread)[None], np.array(whole))


def _of_channels(numbers: Sequence[float], channels: int) -> Tensor:
    if len(numbers) == 3 and channels == 1:
        numbers = [sum(numbers) / 3]
    if len(numbers) != channels:
        raise InputError(f"got {len(numbers)} means or deviations for {channels} channels")
    return torch.tensor(numbers).reshape(-1, 1, 1)


def attend(network: nn.Module, sites: Sequence[Site], pixels: Tensor) -> list[SiteMaps]:
    """Return the maps of each inserted module for one image, in the order of the sites.

    The network is run in eval mode, and unchanged afterwards.

    Args:
        network: the network, with modules inserted at the sites.
        sites: their sites.
        pixels: the normalised image, with shape (1, C, H, W).

    Raises:
        InputError: a module has no gate, or its map is of a video.
    """
    modules = {site: _gated(network, site) for site in sites}
    given: dict[Site, Tensor] = {}

    def keep(site: Site) -> Any:
        return lambda module, arguments: given.update({site: arguments[0]})

    with left_as_found(network):
        for site, module in modules.items():
            module.register_forward_pre_hook(keep(site))
        network(pixels)
        return [_maps(site, module, given[site]) for site, module in modules.items()]


def upsampled(values: Array, height: int, width: int) -> Array:
    """Upsample a map to the size of an image, bilinearly.

    >>> upsampled(np.array([[0.0, 1.0]], dtype=np.float32), 1, 4).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    grid = torch.from_numpy(values)[None, None]
    found: Array = F.interpolate(grid, (height, width), mode="bilinear")[0, 0].numpy()
    return found


def _gated(network: nn.Module, site: Site) -> nn.Module:
    """Return the module inserted at a site.

    Raises:
        InputError: it has no gate, or its map is of a video.
    """
    name = site.name
    if not kind_of(site.attention).has_gate:
        with_gate = " or ".join(kind.noun for kind in KINDS.values() if kind.has_gate)
        raise InputError(f"the module inserted at {name} has no gate to show; insert {with_gate}")
    if site.point.map.layout.spatial_axes != 2:
        raise InputError(f"the map at {name} is of a video; only maps of images can be shown")
    holder = network.get_submodule(HOLDER)
    own = set(holder.children())
    host = network.get_submodule(site.point.module)
    return [module for module in attached(host) if module in own][site.rank]


def _maps(site: Site, module: nn.Module, x: Tensor) -> SiteMaps:
    found = kind_of(site.attention).maps(module, x)
    assert found is not None
    return SiteMaps(
        module=site.name,
        spatial=None if found.spatial is None else _array(found.spatial),
        channel=None if found.channel is None else _array(found.channel),
        gate=_array(found.gate.expand_as(found.before)[0].mean(0)),
        before=_array(found.before[0].abs().mean(0)),
        after=_array(found.after[0].abs().mean(0)),
    )


def _array(values: Tensor) -> Array:
    found: Array = values.detach().float().cpu().numpy()
    return found
