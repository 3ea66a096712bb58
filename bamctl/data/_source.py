"""Sources of images: requests, results, and images in memory or in files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bamctl.data.images import ArrayImages, FileImages, Images
from bamctl.data.task_names import TaskName
from bamctl.errors import InputError

# The deepest networks halve an image five times.
_SMALL = 32


@dataclass(frozen=True)
class Wanted:
    """A request: a name, a folder, the task, and the input of the network.

    Channels, (of clips frames,) height and width come from `extents`; where that is None, from the
    data set or the images in memory, else from `usual`. `bad_images` is `refuse` or `skip`.
    """

    name: str
    root: Path
    download: bool
    bad_images: str
    extents: tuple[int, ...] | None
    usual: tuple[int, ...]
    task: TaskName = "classification"

    def shape(self, images: Images) -> tuple[int, ...]:
        """Return the input of the network: channels, height and width."""
        if self.extents is not None:
            return self.extents
        if isinstance(images, ArrayImages):
            return (3, *images.pixels.shape[2:])
        return self.usual


@dataclass(frozen=True)
class Source:
    """The splits that a data set defines; `test` reads its split when it is called.

    `input_shape` is the input of the network; left out, that of the request or of the images.
    """

    train: Images
    held_out: Images | None
    test: Callable[[], Images] | None
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    input_shape: tuple[int, ...] | None = None
    keypoints: tuple[str, ...] = ()


def from_files(
    wanted: Wanted, read: Callable[[int], Any], name: Callable[[int], str], labels: Tensor
) -> FileImages:
    """Return images that are decoded when they are accessed."""
    channels, height, width = wanted.extents or wanted.usual
    return FileImages(read, name, tuple(range(len(labels))), labels, channels, (height, width))


def in_memory(wanted: Wanted, pixels: Tensor, labels: Tensor, *, mirrored: bool) -> ArrayImages:
    """Return images in memory, resized once; small ones to 32x32, which most networks accept.

    Raises:
        InputError: the images have another number of channels than the requested input.
    """
    native = (3, *(max(side, _SMALL) for side in pixels.shape[2:]))
    channels, height, width = wanted.extents or native
    if pixels.shape[1] not in (1, channels):
        raise InputError(
            f"the images of {wanted.name} have {pixels.shape[1]} channels, not {channels}; "
            f"try --input {pixels.shape[1]}x{height}x{width}"
        )
    if tuple(pixels.shape[2:]) != (height, width):
        pixels = torch.cat([_resized(part, (height, width)) for part in torch.split(pixels, 4096)])
    return ArrayImages(pixels.contiguous(), labels, mirrored)


def _resized(pixels: Tensor, extents: tuple[int, int]) -> Tensor:
    from torchvision.transforms.v2 import functional

    sized: Tensor = functional.resize(pixels, list(extents), antialias=True)
    return sized
