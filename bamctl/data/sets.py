"""Labelled data sets by name, always with a held-out split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bamctl.data import _registry as registry
from bamctl.data._source import Source, Wanted
from bamctl.data.images import ArrayImages, Images
from bamctl.data.task_names import TaskName
from bamctl.errors import InputError

# Fraction and maximum of the training images that are held out if there is no validation split.
_HELD_OUT = 1 / 5
_MOST_HELD_OUT = 5_000

# Channel means and standard deviations of ImageNet, as fractions of white, which torchvision's
# published weights expect.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Data:
    """Training images, held-out images, and the test split if requested.

    `mean` and `std` are per channel, with shape (C,), from 0 to 255. `skipped` names unreadable
    images, and `keypoints` the points of an object, in the order of a `Batch`.

    `classes` begins with the background for segmentation; for detection and its kin it leaves the
    background out, and class i has the label i + 1. `input_shape` is channels, height and width;
    of clips, channels, frames, height and width.
    """

    name: str
    train: Images
    held_out: Images
    test: Images | None
    classes: tuple[str, ...]
    input_shape: tuple[int, ...]
    mean: Tensor
    std: Tensor
    skipped: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return checksums of the training and held-out images."""
        return f"{self.train.fingerprint():08x}-{self.held_out.fingerprint():08x}"

    def normalized(self, pixels: Tensor) -> Tensor:
        """Normalize images with shape (N, C, H, W) or clips with shape (N, C, T, H, W).

        Grey ones get the network's channels.
        """
        after = (1,) * (pixels.ndim - 2)
        mean, std = (each.to(pixels.device).view(-1, *after) for each in (self.mean, self.std))
        return ((pixels - mean) / std).expand(-1, self.input_shape[0], *(-1 for _ in after))


def names(task: TaskName | None = None) -> tuple[str, ...]:
    """Return the names that `load` accepts, of all data sets or of those that serve a task."""
    return registry.names(task)


def load(
    name: str,
    *,
    usual_shape: Sequence[int],
    input_shape: Sequence[int] | None = None,
    root: Path = Path("data"),
    download: bool = False,
    bad_images: str = "refuse",
    num_classes: int | None = None,
    with_test: bool = False,
    task: TaskName = "classification",
) -> Data:
    """Read a data set.

    Where it has no validation split, a fifth of the training images, but at most 5,000, are held
    out: a stratified split, the same in every run. The test split is read only if requested.

    Args:
        name: one of `names(task)`.
        usual_shape: channels, height and width of the network's usual input, for images in files;
            for clips, channels, frames, height and width.
        input_shape: the same form, to use instead, for any images.
        root: the folder of torchvision's sets.
        download: whether to fetch a missing set.
        bad_images: `refuse` or `skip` images that cannot be read.
        num_classes: classes of the network's head, if not those of the set.
        with_test: whether to read the test split.
        task: what the network is to answer; it determines the targets of a `Batch`.

    Raises:
        InputError: the set is unknown, cannot be read, or does not fit the network or task.
    """
    extents = None if input_shape is None else tuple(input_shape)
    wanted = Wanted(name, root, download, bad_images, extents, tuple(usual_shape), task)
    source = registry.read(wanted)
    _check_labels(source, num_classes)
    train, held_out = source.train, source.held_out
    if held_out is None:
        train, held_out = _split(source.train)
    if with_test and source.test is None:
        raise InputError(f"{name} has no test split; leave --test out")
    shape = source.input_shape or wanted.shape(train)
    mean, std = _statistics(train, shape[0])
    return Data(
        name=name,
        train=train,
        held_out=held_out,
        test=source.test() if with_test and source.test else None,
        classes=source.classes,
        input_shape=shape,
        mean=mean,
        std=std,
        skipped=source.skipped,
        keypoints=source.keypoints,
    )


def _check_labels(source: Source, num_classes: int | None) -> None:
    count = num_classes or len(source.classes)
    for split in (source.train, source.held_out):
        if split is None or split.labels is None:
            continue
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= count:
            raise InputError(
                f"the labels run from {low} to {high}, and {count} classes are numbered from 0 to "
                f"{count - 1}; try --num-classes {high + 1}"
            )


def _split(images: Images) -> tuple[Images, Images]:
    from sklearn.model_selection import train_test_split

    total = len(images)
    count = min(round(_HELD_OUT * total), _MOST_HELD_OUT)
    try:
        train, held_out = train_test_split(
            range(total), test_size=count, stratify=_strata(images), random_state=0
        )
    except ValueError as error:
        raise InputError(
            f"no split can be held out of {total} images: every class needs at least two, and "
            "every split one of each class; add images, or a val folder"
        ) from error
    return images.subset(sorted(train)), images.subset(sorted(held_out))


def _strata(images: Images) -> np.ndarray | None:
    return None if images.labels is None else images.labels.numpy()


def _statistics(train: Images, channels: int) -> tuple[Tensor, Tensor]:
    """Return channel means and deviations: of images in memory if so, else of ImageNet."""
    if isinstance(train, ArrayImages):
        std, mean = torch.std_mean(
            train.pixels[:: max(len(train.pixels) // 4096, 1)].float(), (0, 2, 3)
        )
        return mean, std.clamp(min=1)
    found = (torch.tensor(each) * 255 for each in IMAGENET)
    mean, std = (each if channels == 3 else each.mean(0, keepdim=True) for each in found)
    return mean, std
