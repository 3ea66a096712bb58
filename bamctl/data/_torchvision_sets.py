"""torchvision's classification data sets, each with the splits that it has."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bamctl.data._source import Source, Wanted, from_files, in_memory
from bamctl.data.images import Images
from bamctl.errors import InputError, first_line
from bamctl.files.atomic import check_can_write

# Constructor arguments of the training, validation and test splits; None for a missing split.
_Splits = tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]

_TRAIN_OR_TEST: _Splits = ({"train": True}, None, {"train": False})
_THREE: _Splits = ({"split": "train"}, {"split": "val"}, {"split": "test"})
_TWO: _Splits = ({"split": "train"}, None, {"split": "test"})
_VALIDATED: _Splits = ({"split": "train"}, {"split": "val"}, None)
_WHOLE: _Splits = ({}, None, None)

SPLITS: dict[str, _Splits] = {
    "Caltech101": _WHOLE,
    "Caltech256": _WHOLE,
    "CIFAR10": _TRAIN_OR_TEST,
    "CIFAR100": _TRAIN_OR_TEST,
    "Country211": ({"split": "train"}, {"split": "valid"}, {"split": "test"}),
    "DTD": _THREE,
    "EuroSAT": _WHOLE,
    "FashionMNIST": _TRAIN_OR_TEST,
    "FGVCAircraft": _THREE,
    "Flowers102": _THREE,
    "Food101": _TWO,
    "GTSRB": _TWO,
    "ImageNet": _VALIDATED,
    "Imagenette": _VALIDATED,
    "KMNIST": _TRAIN_OR_TEST,
    "MNIST": _TRAIN_OR_TEST,
    "OxfordIIITPet": ({"split": "trainval"}, None, {"split": "test"}),
    "QMNIST": _TRAIN_OR_TEST,
    "RenderedSST2": _THREE,
    "SEMEION": _WHOLE,
    "StanfordCars": _TWO,
    "STL10": _TWO,
    "SUN397": _WHOLE,
    "SVHN": _TWO,
    "USPS": _TRAIN_OR_TEST,
}
# Cannot be downloaded: access is on request, or the files were taken down.
_BY_HAND = {"ImageNet", "StanfordCars"}
# Not flipped horizontally: mirrored characters are other characters, or none.
_NOT_MIRRORED = {"FashionMNIST", "KMNIST", "MNIST", "QMNIST", "SEMEION", "SVHN", "USPS"}


def read(wanted: Wanted, name: str) -> Source:
    """Read a data set by the name of its class.

    Raises:
        InputError: it does not exist and was not downloaded, or cannot be read.
    """
    import torchvision

    make = getattr(torchvision.datasets, name)
    splits = SPLITS[name]

    def dataset(options: dict[str, Any]) -> Any:
        download = {"download": wanted.download} if _downloads(make) else {}
        try:
            return make(wanted.root, **options, **download)
        except (RuntimeError, OSError, ImportError, ValueError) as error:
            raise InputError(how_to_get(wanted, name, splits[0], error)) from error

    def split(options: dict[str, Any]) -> Images:
        return _of_dataset(wanted, dataset(options), mirrored=name not in _NOT_MIRRORED)

    prepare(wanted, name)
    first = dataset(splits[0])
    train = _of_dataset(wanted, first, mirrored=name not in _NOT_MIRRORED)
    held_out = split(splits[1]) if splits[1] is not None else None
    test = splits[2]
    return Source(
        train,
        held_out,
        None if test is None else lambda: split(test),
        _classes(first, train),
    )


def prepare(wanted: Wanted, name: str) -> None:
    """Create the folder of a set that is to be downloaded.

    Raises:
        InputError: it cannot be written.
    """
    if wanted.download:
        wanted.root.mkdir(parents=True, exist_ok=True)
        check_can_write(wanted.root / name)


def _downloads(make: Any) -> bool:
    # QMNIST passes `download` through to its base class.
    return make.__name__ not in _BY_HAND and (
        "download" in inspect.signature(make).parameters or make.__name__ == "QMNIST"
    )


def how_to_get(wanted: Wanted, name: str, options: dict[str, Any], error: Exception) -> str:
    """Return a message that says why a set is missing, and how it is downloaded."""
    tried = "could not be downloaded" if wanted.download else "is missing"
    why = f"{name} {tried} in {wanted.root} ({first_line(error)})"
    if name in _BY_HAND:
        return f"{why}; download it manually, and pass its folder to --data-root"
    given = "".join(f", {key}={value!r}" for key, value in options.items())
    fetch = f"torchvision.datasets.{name}({str(wanted.root)!r}{given}, download=True)"
    package = "; or `apt-get install dataset-fashion-mnist`" if name == "FashionMNIST" else ""
    return (
        f'{why}; download it with `python -c "import torchvision; {fetch}"` or --download{package}'
    )


def _classes(dataset: Any, train: Images) -> tuple[str, ...]:
    named = getattr(dataset, "classes", None)
    assert train.labels is not None
    if isinstance(named, Sequence) and len(named) > int(train.labels.max()):
        return tuple(map(str, named))
    return tuple(map(str, range(int(train.labels.max()) + 1)))


def _of_dataset(wanted: Wanted, dataset: Any, *, mirrored: bool) -> Images:
    """Return a split of a torchvision data set, in memory if torchvision holds it there."""
    labels = torch.as_tensor(_labels(dataset)).long()
    data = getattr(dataset, "data", None)
    if isinstance(data, np.ndarray | Tensor) and data.ndim in (3, 4):
        pixels = torch.as_tensor(data)
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(1)
        elif pixels.shape[1] not in (1, 3):
            pixels = pixels.permute(0, 3, 1, 2)
        return in_memory(wanted, pixels, labels, mirrored=mirrored)

    return from_files(wanted, _Image(dataset), _Name(dataset), labels)


def _labels(dataset: Any) -> Sequence[int]:
    """Return the labels, without decoding the images if the data set stores labels separately."""
    for attribute in ("targets", "labels", "_labels", "y"):
        found = getattr(dataset, attribute, None)
        if found is not None and len(found) == len(dataset):
            return found  # type: ignore[no-any-return]
    samples = getattr(dataset, "_samples", None)
    return [label for _, label in (samples if samples is not None else dataset)]


@dataclass(frozen=True)
class _Image:
    """Decoder of images; an object, so that it can be pickled for worker processes."""

    dataset: Any

    def __call__(self, index: int) -> Any:
        return self.dataset[index][0]


@dataclass(frozen=True)
class _Name:
    """Names of images in messages."""

    dataset: Any

    def __call__(self, index: int) -> str:
        return f"number {index} of {type(self.dataset).__name__}"
