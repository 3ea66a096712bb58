"""The user's images, in one folder for each class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bamctl.data._source import Source, Wanted, from_files
from bamctl.data.images import FileImages, cannot_read
from bamctl.errors import InputError, check_machine
from bamctl.files.atomic import check_can_read


def read(wanted: Wanted, folder: Path) -> Source:
    """Return images in class folders as ImageNet's: `train/CLASS/*`, and `val/` and `test/` if any.

    Raises:
        InputError: there are no class folders, a class has no image, or an image cannot be read
            and is not to be skipped.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; pass an existing one as --data folder:PATH")
    root = folder / "train" if (folder / "train").is_dir() else folder
    train, classes, skipped = _class_folders(wanted, root, None)
    held_out, test = None, None
    if root != folder:
        if (folder / "val").is_dir():
            held_out, _, more = _class_folders(wanted, folder / "val", classes)
            skipped += more
        if (folder / "test").is_dir():
            test = folder / "test"
    return Source(
        train,
        held_out,
        None if test is None else lambda: _class_folders(wanted, test, classes)[0],
        classes,
        skipped,
    )


def _class_folders(
    wanted: Wanted, root: Path, classes: tuple[str, ...] | None
) -> tuple[FileImages, tuple[str, ...], tuple[str, ...]]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    found = tuple(sorted(each.name for each in root.iterdir() if each.is_dir()))
    if len(found) < 2:
        raise InputError(
            f"{root} holds {'one class folder' if found else 'no class folders'}; put the images "
            "into one folder per class, as in train/cat/1.jpg"
        )
    if classes is not None and found != classes:
        odd = sorted(set(found) ^ set(classes))
        raise InputError(
            f"{root} does not have the classes of the training split: {', '.join(odd)}"
        )
    samples: list[tuple[Path, int]] = []
    skipped: list[str] = []
    for label, name in enumerate(found):
        files = sorted(
            file for file in (root / name).rglob("*") if file.suffix.lower() in IMG_EXTENSIONS
        )
        bad = [file for file in files if not _has_image(file)]
        if bad and wanted.bad_images == "refuse":
            raise InputError(cannot_read(list(map(str, bad))))
        skipped += map(str, bad)
        kept = [file for file in files if file not in set(bad)]
        if not kept:
            raise InputError(f"{root / name} contains no images; remove it, or add images")
        samples += ((file, label) for file in kept)
    labels = torch.tensor([label for _, label in samples])
    paths = [path for path, _ in samples]
    return from_files(wanted, _Opened(paths), _Named(paths), labels), found, tuple(skipped)


def _has_image(path: Path) -> bool:
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


@dataclass(frozen=True)
class _Opened:
    """Decoder of image files; an object, so that it can be pickled for worker processes."""

    paths: list[Path]

    def __call__(self, index: int) -> Any:
        from PIL import Image

        check_can_read(self.paths[index])
        with Image.open(self.paths[index]) as image:
            image.load()
            return image


@dataclass(frozen=True)
class _Named:
    """Names of images in messages: their paths."""

    paths: list[Path]

    def __call__(self, index: int) -> str:
        return str(self.paths[index])
