"""Samples in the user's files: decoding images, and leaving out what is faulty."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from bamctl.data._source import Wanted
from bamctl.data.images import eight_bit
from bamctl.errors import InputError
from bamctl.files.atomic import check_can_read
from bamctl.text.lists import few

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")


def opened(path: Path) -> "Image":
    """Return a decoded image.

    Raises:
        InputError: it is not a regular file.
    """
    from PIL import Image

    check_can_read(path)
    with Image.open(path) as image:
        image.load()
        return image


@dataclass(frozen=True)
class Opened:
    """Decoder of image files; an object, so that it can be pickled for worker processes."""

    paths: list[Path]

    def __call__(self, index: int) -> "Image":
        return opened(self.paths[index])


@dataclass(frozen=True)
class Named:
    """Names of samples in messages: their paths."""

    paths: list[Path]

    def __call__(self, index: int) -> str:
        return str(self.paths[index])


def pixels(image: "Image", channels: int) -> Tensor:
    """Return an image with 8 bits, with shape (C, H, W), grey or RGB."""
    converted = eight_bit(image).convert({1: "L", 3: "RGB"}[channels])
    values = np.array(converted).reshape(*converted.size[::-1], channels)
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()


def kept(
    wanted: Wanted, what: str, found: Iterable[tuple[T, str | None]]
) -> tuple[list[T], tuple[str, ...]]:
    """Return the samples without a fault, and the faults of the others.

    Args:
        wanted: the request, which says whether to refuse or to skip.
        what: names the samples in a message, as in `images of train2017`.
        found: samples, each with its fault, if any.

    Raises:
        InputError: there is a fault that is not to be skipped, or no sample without one.
    """
    samples = list(found)
    faults = tuple(fault for _, fault in samples if fault is not None)
    if faults and wanted.bad_images == "refuse":
        raise InputError(f"{few(faults, 3)}; fix or remove it, or use --bad-images skip")
    good = [sample for sample, fault in samples if fault is None]
    if not good:
        why = f": {few(faults, 3)}" if faults else ""
        raise InputError(f"there are no {what}{why}")
    return good, faults
