"""The user's images or clips, in one folder for each class."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bamctl.data._files import Named, Opened
from bamctl.data._source import Source, Wanted, from_files
from bamctl.data.images import Images, cannot_read
from bamctl.errors import InputError, check_machine
from bamctl.files.atomic import check_can_read


@dataclass(frozen=True)
class Kind:
    """What class folders hold.

    Args:
        layout: the name before the colon, as in `folder:PATH`.
        noun: one of the samples, in messages.
        example: one of them.
        find: returns those in a class folder, in order.
        is_readable: returns whether the beginning of one can be read.
        split: returns the samples at these paths with their labels.
    """

    layout: str
    noun: str
    example: str
    find: Callable[[Path], list[Path]]
    is_readable: Callable[[Path], bool]
    split: Callable[[Wanted, list[Path], Tensor], Images]


def read(wanted: Wanted, folder: Path) -> Source:
    """Return images in class folders, as described by `read_classes`."""
    images = Kind("folder", "image", "train/cat/1.jpg", _images, has_image, _split)
    return read_classes(wanted, folder, images)


def _images(folder: Path) -> list[Path]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)


def _split(wanted: Wanted, paths: list[Path], labels: Tensor) -> Images:
    return from_files(wanted, Opened(paths), Named(paths), labels)


def read_classes(wanted: Wanted, folder: Path, kind: Kind) -> Source:
    """Return class folders as ImageNet's: `train/CLASS/*`, and `val/` and `test/` if any.

    Raises:
        InputError: there are no class folders, a class has no image, or an image cannot be read
            and is not to be skipped.
    """
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {folder}; pass an existing one as --data {kind.layout}:PATH"
        )
    root = folder / "train" if (folder / "train").is_dir() else folder
    train, classes, skipped = _class_folders(wanted, kind, root, None)
    held_out, test = None, None
    if root != folder:
        if (folder / "val").is_dir():
            held_out, _, more = _class_folders(wanted, kind, folder / "val", classes)
            skipped += more
        if (folder / "test").is_dir():
            test = folder / "test"
    return Source(
        train,
        held_out,
        None if test is None else lambda: _class_folders(wanted, kind, test, classes)[0],
        classes,
        skipped,
    )


def _class_folders(
    wanted: Wanted, kind: Kind, root: Path, classes: tuple[str, ...] | None
) -> tuple[Images, tuple[str, ...], tuple[str, ...]]:
    found = tuple(sorted(each.name for each in root.iterdir() if each.is_dir()))
    if len(found) < 2:
        raise InputError(
            f"{root} holds {'one class folder' if found else 'no class folders'}; put the "
            f"{kind.noun}s into one folder per class, as in {kind.example}"
        )
    if classes is not None and found != classes:
        odd = sorted(set(found) ^ set(classes))
        raise InputError(
            f"{root} does not have the classes of the training split: {', '.join(odd)}"
        )
    samples: list[tuple[Path, int]] = []
    skipped: list[str] = []
    for label, name in enumerate(found):
        files = kind.find(root / name)
        bad = [file for file in files if not kind.is_readable(file)]
        if bad and wanted.bad_images == "refuse":
            raise InputError(cannot_read(list(map(str, bad)), kind.noun))
        skipped += map(str, bad)
        kept = [file for file in files if file not in set(bad)]
        if not kept:
            raise InputError(
                f"{root / name} contains no {kind.noun}s; remove it, or add {kind.noun}s"
            )
        samples += ((file, label) for file in kept)
    labels = torch.tensor([label for _, label in samples])
    split = kind.split(wanted, [path for path, _ in samples], labels)
    return split, found, tuple(skipped)


def has_image(path: Path) -> bool:
    """Return whether the header of a file is that of an image; a truncated one still passes."""
    from PIL import Image

    try:
        check_can_read(path)
        with Image.open(path) as image:
            image.verify()
    except Exception as error:  # a decoder may raise anything for a file that is no image
        check_machine(error, f"cannot read {path}")
        return False
    return True
