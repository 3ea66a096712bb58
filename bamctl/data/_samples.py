"""Splits whose samples are drawn or read one by one, and the random numbers that draw them."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bamctl.data.images import UNREADABLE, Batch
from bamctl.data.task_names import TaskName
from bamctl.errors import InputError, check_machine

if TYPE_CHECKING:
    import numpy as np

# Their images differ in size, and so does the number of objects.
_LISTED = ("detection", "instance-segmentation", "keypoints")
# Thousandths of red, green and blue.
_GREY = (299, 587, 114)


@dataclass(frozen=True)
class Samples:
    """Samples that are made when they are accessed.

    Args:
        task: the task of the targets; see `Batch`.
        make: returns the input and the target for an index of the source and a random number that
            seeds the augmentation, or None for none. An object that can be pickled, for worker
            processes.
        name: returns the name of a sample in messages.
        indices: the source's samples in this split.
        labels: the class of each sample, with shape (N,); None if a sample has no single class.
        edition: identifies the source in a fingerprint.
    """

    task: TaskName
    make: Callable[[int, int | None], tuple[Tensor, Any]]
    name: Callable[[int], str]
    indices: tuple[int, ...]
    labels: Tensor | None
    edition: str

    def __len__(self) -> int:
        return len(self.indices)

    def fingerprint(self) -> int:
        """Return a checksum of the source and the samples' names, not of their values."""
        files = (Path(self.name(index)).name for index in self.indices)
        names = "/".join([self.edition, *files])
        return zlib.crc32(names.encode("utf-8", "surrogateescape"))

    def batch(self, indices: Tensor, draws: Tensor | None) -> Batch:
        """Return some samples, as described by `Images`."""
        inputs, targets, unreadable = [], [], []
        for row, index in enumerate(indices.tolist()):
            number = self.indices[index]
            try:
                image, target = self.make(number, None if draws is None else int(draws[row]))
            except InputError as error:
                unreadable.append(f"{self.name(number)} ({error})")
                continue
            except UNREADABLE as error:
                check_machine(error, f"cannot read {self.name(number)}")
                unreadable.append(self.name(number))
                continue
            inputs.append(image)
            targets.append(target)
        if self.task in _LISTED:
            return Batch(inputs, targets, tuple(unreadable))
        return Batch(_stacked(inputs), _stacked(targets), tuple(unreadable))

    def subset(self, indices: Sequence[int]) -> "Samples":
        """Return a split of only these samples."""
        rows = [int(index) for index in indices]
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, indices=tuple(self.indices[row] for row in rows), labels=labels)


def _stacked(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors) if tensors else torch.empty(0)


def seeded(*numbers: int | None) -> "np.random.RandomState":
    """Return a generator whose stream is the same in every version of NumPy.

    Args:
        numbers: non-negative integers under 2**64; None counts as no number.
    """
    import numpy as np

    words = [word for each in numbers if each is not None for word in divmod(each, 2**32)]
    return np.random.RandomState(words)


def check_channels(name: str, channels: int) -> None:
    """Raise unless images can have this number of channels.

    Raises:
        InputError: it is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise InputError(f"the images of {name} have 1 or 3 channels, not {channels}")


def in_channels(pixels: "np.ndarray[Any, Any]", channels: int) -> Tensor:
    """Convert RGB images with shape (..., 3) to a tensor of shape (..., C), grey if C is 1.

    The weights are those of ITU-R 601-2, as in Pillow.
    """
    if channels == 1:
        pixels = (pixels.astype("int32") @ _GREY // 1000).astype("uint8")[..., None]
    return torch.from_numpy(pixels)
