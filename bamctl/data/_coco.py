"""The user's images with annotations in the format of COCO.

A folder as that of COCO 2017: `annotations/instances_train2017.json` (and `_val2017`), the images
in `train2017` and `val2017`. Other names are found if they contain `train`, `val` or `test`; for
keypoints the file whose name contains `keypoints` is preferred. Labels are numbered from 1 in the
order of the category ids, which in COCO itself have gaps.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bamctl.data._files import kept
from bamctl.data._objects import Marked, box_fault, objects
from bamctl.data._samples import Samples, check_channels
from bamctl.data._source import Source, Wanted
from bamctl.data.images import Images
from bamctl.errors import InputError, blame, first_line, shown
from bamctl.files.atomic import check_can_read

_NOT_OBJECTS = ("captions", "image_info", "panoptic", "stuff")
_CORNERS = 3
# The keys that every entry of a list needs.
_KEYS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


def read(wanted: Wanted, folder: Path) -> Source:
    """Return the splits of a folder; the training split leaves out crowds and empty images.

    Raises:
        InputError: there are no annotations, they do not fit the task, or an image or annotation
            is faulty and is not to be skipped.
    """
    check_channels(wanted.name, (wanted.extents or wanted.usual)[0])
    files = {split: _annotations(wanted, folder, split) for split in ("train", "val", "test")}
    first = files["train"]
    if first is None:
        raise InputError(
            f"there is no annotations/*train*.json in {folder}; pass a folder as that of COCO 2017 "
            "as --data coco:PATH"
        )
    train = _Split.read(wanted, folder, first, "train")
    images, skipped = train.images(is_training=True)
    held_out: Images | None = None
    if files["val"] is not None:
        held_out, more = train.like(folder, files["val"], "val").images()
        skipped += more
    test = files["test"]
    return Source(
        images,
        held_out,
        None if test is None else lambda: train.like(folder, test, "test").images()[0],
        tuple(train.classes.values()),
        skipped,
        keypoints=train.keypoints,
    )


def _annotations(wanted: Wanted, folder: Path, split: str) -> Path | None:
    files = [
        path
        for path in sorted((folder / "annotations").glob("*.json"))
        if split in path.stem and not path.stem.startswith(_NOT_OBJECTS)
    ]
    for_points = [path for path in files if "keypoints" in path.stem]
    others = [path for path in files if path not in for_points]
    preferred = [*for_points, *others] if wanted.task == "keypoints" else [*others, *for_points]
    return next(iter(preferred), None)


@dataclass(frozen=True)
class _Split:
    """A file of annotations; `classes` names the categories by id, in their order."""

    wanted: Wanted
    file: Path
    folders: tuple[Path, ...]
    content: dict[str, Any]
    classes: dict[int, str]
    keypoints: tuple[str, ...]

    @classmethod
    def read(cls, wanted: Wanted, folder: Path, file: Path, split: str) -> "_Split":
        content = _json(file)
        categories = sorted(content["categories"], key=lambda each: each["id"])
        keypoints: tuple[str, ...] = ()
        if wanted.task == "keypoints":
            categories = [each for each in categories if isinstance(each.get("keypoints"), list)]
            if len({tuple(each["keypoints"]) for each in categories}) != 1:
                raise InputError(
                    f"{file}: no category, or categories of several kinds, has keypoints"
                )
            keypoints = tuple(categories[0]["keypoints"])
        classes = {each["id"]: each["name"] for each in categories}
        places = (file.stem.rpartition("_")[2], split)
        inner = [folder / up / place for up in ("", "images") for place in places]
        folders = (*inner, folder / "images", folder)
        return cls(wanted, file, folders, content, classes, keypoints)

    def like(self, folder: Path, file: Path, split: str) -> "_Split":
        """Read another split, which must have the same categories."""
        other = _Split.read(self.wanted, folder, file, split)
        if (other.classes, other.keypoints) != (self.classes, self.keypoints):
            raise InputError(f"{file} does not have the categories of {self.file.name}")
        return other

    def images(self, *, is_training: bool = False) -> tuple[Samples, tuple[str, ...]]:
        """Return the images, and the faults of those that were skipped."""
        what = f"images in {self.file}"
        good, faults = kept(self.wanted, what, self._marked(is_training))
        if is_training:
            good = [each for each in good if each.labels]
        if not good:
            raise InputError(f"{self.file}: no image has an object for {self.wanted.task}")
        return objects(self.wanted, good, self.keypoints), faults

    def _marked(self, is_training: bool) -> Iterator[tuple[Marked, str | None]]:
        found = defaultdict(list)
        for each in self.content["annotations"]:
            found[each["image_id"]].append(each)
        folder = self._folder()
        for image in self.content["images"]:
            marks = [
                each for each in found.pop(image["id"], []) if self._is_used(each, is_training)
            ]
            yield self._image(folder / str(image["file_name"]), image, marks)
        for missing, marks in found.items():
            at = f"annotation {shown(marks[0].get('id'))}"
            yield Marked(folder), f"{self.file}: {at} names the missing image {shown(missing)}"

    def _folder(self) -> Path:
        """Return the folder that holds one of the images."""
        names = [str(image["file_name"]) for image in self.content["images"]]
        holding = (each for each in self.folders if any((each / name).is_file() for name in names))
        return next(holding, self.folders[0])

    def _is_used(self, mark: dict[str, Any], is_training: bool) -> bool:
        if is_training and mark.get("iscrowd"):
            return False
        points = mark.get("keypoints")
        labelled = isinstance(points, list) and any(points[2::3])
        return self.wanted.task != "keypoints" or labelled

    def _image(
        self, path: Path, image: dict[str, Any], marks: list[dict[str, Any]]
    ) -> tuple[Marked, str | None]:
        """Return an image with its objects, and what is wrong with it."""
        if not path.is_file():
            return Marked(path), f"{self.file} names the missing image {path}"
        found = []
        for mark in marks:
            try:
                found.append(self._object(mark, image))
            except (KeyError, TypeError, ValueError) as error:
                fault = first_line(error)
                at = f"annotation {shown(mark.get('id'))} of {self.file.name}"
                return Marked(path), f"{path}: {fault} ({at})"
        return Marked(path, *zip(*found, strict=True)), None

    def _object(self, mark: dict[str, Any], image: dict[str, Any]) -> tuple[Any, ...]:
        """Return box, label, crowd, mask and keypoints of an object.

        Raises:
            KeyError, TypeError, ValueError: the annotation is faulty.
        """
        if mark["category_id"] not in self.classes:
            raise ValueError(f"the category {shown(mark['category_id'])} is not listed")
        left, top, width, height = map(float, mark["bbox"])
        box = left, top, left + width, top + height
        fault = box_fault(box, image["width"], image["height"])
        if fault is not None:
            raise ValueError(fault)
        outline, points = None, None
        if self.wanted.task == "instance-segmentation":
            outline = mark.get("segmentation")
            if not _has_area(outline):
                raise ValueError("a mask is empty")
        if self.wanted.task == "keypoints":
            points = [float(number) for number in mark["keypoints"]]
            if len(points) != 3 * len(self.keypoints):
                raise ValueError(
                    f"an object has {len(points)} numbers for {len(self.keypoints)} keypoints"
                )
        label = list(self.classes).index(mark["category_id"]) + 1
        return box, label, int(mark.get("iscrowd", 0)), outline, points


def _json(file: Path) -> dict[str, Any]:
    """Return the content of a file of annotations, with the lists that every split has."""
    check_can_read(file)
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise blame(error, f"{file}: cannot be read") from error
    for key, names in _KEYS.items():
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise InputError(f"{file}: no list of {key}; is it an annotation file of COCO?")
        for entry in entries:
            lacking = [name for name in names if not isinstance(entry, dict) or name not in entry]
            if lacking:
                raise InputError(f"{file}: {shown(entry)} of {key} has no {', '.join(lacking)}")
            if not all(isinstance(entry[name], int) for name in names if name.endswith("id")):
                raise InputError(f"{file}: {shown(entry)} of {key} has an id that is no integer")
    return content


def _has_area(outline: Any) -> bool:
    """Return whether a segmentation is not obviously empty; decoding it tells the rest."""
    if isinstance(outline, list):
        return bool(outline) and all(len(each) >= 2 * _CORNERS for each in outline)
    if not isinstance(outline, dict) or not outline.get("counts"):
        return False
    counts = outline["counts"]
    return not isinstance(counts, list) or sum(counts[1::2]) > 0
