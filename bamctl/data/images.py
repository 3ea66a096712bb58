"""Labelled images, in memory or in files; reading and augmenting a batch."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bamctl.errors import InputError, check_machine
from bamctl.text.lists import few

if TYPE_CHECKING:
    from PIL.Image import Image

# An image is shifted by up to an eighth of its side, as by 4 of 32 pixels in the ResNet recipe
# for CIFAR (He et al., CVPR 2016, section 4.2).
_SHIFT = 8


@dataclass(frozen=True)
class Batch:
    """Samples and what a network is to answer for them; N is their number.

    The values of inputs run from 0 to 255. By task:

    - classification: images with shape (N, C, H, W); class numbers with shape (N,).
    - segmentation: images with shape (N, C, H, W); class numbers with shape (N, H, W), where 0 is
      the background and 255 is not judged.
    - detection, instance-segmentation, keypoints: a list of N images with shape (C, H, W); a list
      of N mappings for M objects, with `boxes` of shape (M, 4) as x1, y1, x2, y2 in pixels,
      `labels` of shape (M,) where 0 is the background, `masks` of shape (M, H, W) and `keypoints`
      of shape (M, K, 3) as x, y, visibility, as the task needs them, and `iscrowd` of shape (M,).
    - video: clips with shape (N, C, T, H, W); class numbers with shape (N,).
    - optical-flow: pairs of images with shape (N, 2, C, H, W); fields with shape (N, 3, H, W), the
      motion along x and y in pixels, and 1 where it is known.

    Unreadable samples are left out; `unreadable` names their files.
    """

    inputs: Any
    targets: Any
    unreadable: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.targets)


class Images(Protocol):
    """A split of a data set."""

    @property
    def labels(self) -> Tensor | None:
        """The class of each sample, with shape (N,); None if samples have no single class."""
        ...

    def __len__(self) -> int: ...

    def fingerprint(self) -> int:
        """Return a number that identifies the samples of a comparison."""
        ...

    def batch(self, indices: Tensor, draws: Tensor | None) -> Batch:
        """Return some samples; `draws` has a random number for each, which seeds its augmentation.

        The same index and number give the same sample, in any order and any process. None
        disables augmentation.
        """
        ...

    def subset(self, indices: Sequence[int]) -> "Images":
        """Return a split of only these samples."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images in memory, with shape (N, C, H, W), all at the size that the network takes.

    Augmentation shifts them by a few pixels and, with `flips`, mirrors half of them.
    """

    pixels: Tensor
    labels: Tensor
    flips: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> int:
        """Return a checksum of the labels; resized pixels may differ between PyTorch versions."""
        return zlib.crc32(self.labels.numpy().tobytes())

    def batch(self, indices: Tensor, draws: Tensor | None) -> Batch:
        """Return some images, as described by `Images`."""
        pixels = self.pixels[indices]
        if draws is not None:
            pixels = _shifted(pixels, draws, self.flips)
        return Batch(pixels, self.labels[indices])

    def subset(self, indices: Sequence[int]) -> "ArrayImages":
        """Return a split of only these images."""
        chosen = torch.as_tensor(indices)
        return replace(self, pixels=self.pixels[chosen], labels=self.labels[chosen])


@dataclass(frozen=True)
class FileImages:
    """Images that are decoded when they are accessed, and may differ in size.

    Augmentation is a random resized crop and a horizontal flip, as is usual for ImageNet (Szegedy
    et al., CVPR 2015, section 6); without it, a resized centre crop.

    Args:
        read: returns the image at an index of the source, as Pillow opened it.
        name: returns the name of that image in messages.
        indices: the source's images in this split.
        labels: the labels of this split, with shape (N,).
        num_channels: channels of the network's input, 1 or 3.
        extents: height and width of the network's input.
    """

    read: Callable[[int], "Image"]
    name: Callable[[int], str]
    indices: tuple[int, ...]
    labels: Tensor
    num_channels: int
    extents: tuple[int, int]

    def __len__(self) -> int:
        return len(self.labels)

    def fingerprint(self) -> int:
        """Return a checksum of file names and labels; reading the images would take too long."""
        names = "/".join(Path(self.name(index)).name for index in self.indices)
        labels = zlib.crc32(self.labels.numpy().tobytes())
        return zlib.crc32(names.encode("utf-8", "surrogateescape"), labels)

    def batch(self, indices: Tensor, draws: Tensor | None) -> Batch:
        """Return some images, as described by `Images`."""
        from torchvision.transforms.v2.functional import pil_to_tensor

        pixels, kept, unreadable = [], [], []
        for row, index in enumerate(indices.tolist()):
            try:
                image = eight_bit(self.read(self.indices[index])).convert(
                    {1: "L", 3: "RGB"}[self.num_channels]
                )
            except InputError as error:
                unreadable.append(f"{self.name(self.indices[index])} ({error})")
                continue
            except UNREADABLE as error:
                check_machine(error, f"cannot read {self.name(self.indices[index])}")
                unreadable.append(self.name(self.indices[index]))
                continue
            draw = None if draws is None else int(draws[row])
            pixels.append(pil_to_tensor(sized(image, self.extents, draw)))
            kept.append(index)
        empty = torch.empty((0, self.num_channels, *self.extents), dtype=torch.uint8)
        stacked = torch.stack(pixels) if pixels else empty
        return Batch(stacked, self.labels[kept], tuple(unreadable))

    def subset(self, indices: Sequence[int]) -> "FileImages":
        """Return a split of only these images."""
        rows = [int(index) for index in indices]
        return replace(
            self, indices=tuple(self.indices[row] for row in rows), labels=self.labels[rows]
        )


def sized(image: Any, extents: tuple[int, int], draw: int | None) -> Any:
    """Resize and crop an image of Pillow, or a tensor of frames with shape (T, C, H, W).

    Args:
        image: the image, or frames that are cropped alike.
        extents: height and width.
        draw: seeds a random resized crop and flip; None for a resized centre crop.
    """
    from torchvision.transforms import v2

    steps: list[Any]
    if draw is None:
        shorter = min(extents) * 256 // 224
        steps = [v2.Resize(shorter, antialias=True), v2.CenterCrop(extents)]
    else:
        steps = [v2.RandomResizedCrop(extents, antialias=True), v2.RandomHorizontalFlip()]
    # These draw from torch's global generator, whose state must not affect the result.
    with torch.random.fork_rng([]):
        torch.manual_seed(draw or 0)
        return v2.Compose(steps)(image)


def eight_bit(image: "Image") -> "Image":
    """Convert an image to 8 bits per channel, with black 0 and white 255.

    Pillow's conversion of greyscale images with more bits clips instead of scaling, so that nearly
    all of a 16-bit image turns white. White is 65,535 in 16 bits and 1.0 in floating point.

    Args:
        image: as opened by Pillow, with its `format`: Pillow reads some 16-bit files as 32-bit.

    Raises:
        InputError: the image has 32-bit grey values, whose white level is unknown.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _SIXTEEN_BIT):
        return _grey(np.asarray(image) / 65_535)
    if image.mode == "F" and _is_share(np.asarray(image)):
        return _grey(np.asarray(image))
    if image.mode in ("I", "F"):
        raise InputError(
            "the white level of its 32-bit grey values is unknown; save it with 8 or 16 bits, "
            "or as floating point from 0 to 1"
        )
    return image


# The only greyscale values of more than 8 bits that Pillow decodes from these are 16-bit.
_SIXTEEN_BIT = ("PNG", "PPM")


def _is_share(values: "np.ndarray[Any, Any]") -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _grey(shares_of_white: "np.ndarray[Any, Any]") -> "Image":
    from PIL import Image

    return Image.fromarray((255 * shares_of_white).round().astype(np.uint8))


def _shifted(pixels: Tensor, draws: Tensor, flips: bool) -> Tensor:
    """Shift each image by a few random pixels, padding with black; with `flips`, mirror half."""
    count, _, height, width = pixels.shape
    rows, draws = _moved(height, draws)
    columns, draws = _moved(width, draws)
    if flips:
        mirrored = (draws % 2 == 1).unsqueeze(1)
        columns = torch.where(mirrored, columns.flip(1), columns)
    margins = (max(height // _SHIFT, 1), max(width // _SHIFT, 1))
    padded = torch.nn.functional.pad(pixels, (margins[1], margins[1], margins[0], margins[0]))
    every = torch.arange(count)
    found = padded[every[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return found.permute(0, 3, 1, 2).contiguous()


def _moved(side: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions along a padded side, with shape (N, side), and the remaining draws."""
    positions = 2 * max(side // _SHIFT, 1) + 1
    starts = draws % positions
    return starts[:, None] + torch.arange(side), draws // positions


# Raised by decoders for a file of another format, a truncated one or a decompression bomb.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, IndexError)


def cannot_read(files: Sequence[str], noun: str = "image") -> str:
    """Return a message that names unreadable images and says what to do."""
    return f"cannot read the {noun} {few(files, 3)}; fix or remove it, or use --bad-images skip"


def left_out(files: Sequence[str]) -> str:
    """Return a message that names skipped images."""
    return f"skipped unreadable images: {few(files, 3)}"
