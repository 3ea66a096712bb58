"""Images in files with boxes, masks and keypoints of their objects, each at its own size."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bamctl.data._files import Named, opened, pixels
from bamctl.data._samples import Samples, seeded
from bamctl.data._source import Wanted
from bamctl.errors import InputError, check_machine, described

# Annotation tools round: a box may end this many pixels outside of its image.
_ROUNDING = 1.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Marked:
    """An image file and its M objects.

    Args:
        path: the file.
        boxes: x1, y1, x2, y2 of each object, in pixels.
        labels: class numbers, from 1.
        crowds: 1 for a group of objects that is not judged one by one, else 0.
        outlines: the masks in the forms of COCO: polygons, or run lengths.
        points: x, y and visibility of each keypoint in turn.
    """

    path: Path
    boxes: Sequence[Box] = ()
    labels: Sequence[int] = ()
    crowds: Sequence[int] = ()
    outlines: Sequence[Any] = ()
    points: Sequence[Sequence[float]] = ()


def box_fault(box: Sequence[float], width: float, height: float) -> str | None:
    """Return what is wrong with a box in an image of this size, or None."""
    x1, y1, x2, y2 = box
    shown = ", ".join(f"{side:g}" for side in box)
    if not (x2 > x1 and y2 > y1):
        return f"the box {shown} has no area"
    low, right, bottom = -_ROUNDING, width + _ROUNDING, height + _ROUNDING
    if min(x1, y1) < low or x2 > right or y2 > bottom:
        return f"the box {shown} is outside of the image of {width:g}x{height:g}"
    return None


def objects(wanted: Wanted, images: list[Marked], keypoints: tuple[str, ...] = ()) -> Samples:
    """Return a split of marked images, mirrored by chance as augmentation."""
    channels = (wanted.extents or wanted.usual)[0]
    reader = _Reader(images, wanted.task, channels, _mirror(keypoints))
    marks = [(each.boxes, each.labels, each.crowds, each.outlines, each.points) for each in images]
    edition = f"{wanted.task}-{zlib.crc32(repr(marks).encode()):08x}"
    names = Named([each.path for each in images])
    return Samples(wanted.task, reader, names, tuple(range(len(images))), None, edition)


def _mirror(keypoints: tuple[str, ...]) -> list[int]:
    """Return the keypoint that each one is in a mirror: `left_eye` is the `right_eye`."""
    swapped = {
        name: name.replace("left", "right") if "left" in name else name.replace("right", "left")
        for name in keypoints
    }
    return [
        keypoints.index(swapped[name]) if swapped[name] in keypoints else row
        for row, name in enumerate(keypoints)
    ]


@dataclass(frozen=True)
class _Reader:
    """Decoder of images and their objects."""

    images: list[Marked]
    task: str
    channels: int
    mirror: list[int] = field(default_factory=list)

    def __call__(self, index: int, draw: int | None) -> tuple[Tensor, dict[str, Tensor]]:
        marked = self.images[index]
        image = pixels(opened(marked.path), self.channels)
        _, height, width = image.shape
        for box in marked.boxes:
            if fault := box_fault(box, width, height):
                raise InputError(fault)
        target = self._target(marked, height, width)
        if draw is not None and seeded(draw).randint(0, 2):
            return image.flip(-1), _mirrored(target, width, self.mirror)
        return image, target

    def _target(self, marked: Marked, height: int, width: int) -> dict[str, Tensor]:
        boxes = torch.tensor(marked.boxes, dtype=torch.float32).reshape(-1, 4)
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
        target = {
            "boxes": boxes,
            "labels": torch.tensor(marked.labels, dtype=torch.int64),
            "iscrowd": torch.tensor(marked.crowds, dtype=torch.int64),
        }
        if self.task == "instance-segmentation":
            masks = [_mask(outline, height, width) for outline in marked.outlines]
            empty = torch.zeros((0, height, width), dtype=torch.uint8)
            target["masks"] = torch.stack(masks) if masks else empty
        if self.task == "keypoints":
            points = torch.tensor(marked.points, dtype=torch.float32)
            target["keypoints"] = points.reshape(len(boxes), len(self.mirror), 3)
        return target


def _mask(outline: Any, height: int, width: int) -> Tensor:
    """Decode polygons, or run lengths, compressed or not.

    Raises:
        InputError: no pixel is set, or the mask belongs to an image of another size.
    """
    try:
        mask = torch.from_numpy(_decoded(outline, height, width))
    except Exception as error:  # pycocotools raises anything, also plain Exception
        check_machine(error, "cannot decode a mask")
        raise InputError(f"a mask cannot be decoded: {described(error)}") from error
    if mask.shape != (height, width):
        raise InputError(f"a mask has {mask.shape[1]}x{mask.shape[0]} pixels, not {width}x{height}")
    if not mask.any():
        raise InputError("a mask is empty")
    return mask


def _decoded(outline: Any, height: int, width: int) -> Any:
    from pycocotools import mask as coco

    if isinstance(outline, list):
        return coco.decode(coco.merge(coco.frPyObjects(outline, height, width)))
    if isinstance(outline["counts"], list):
        return coco.decode(coco.frPyObjects(outline, *outline["size"]))
    return coco.decode(outline)


def _mirrored(target: dict[str, Tensor], width: int, mirror: list[int]) -> dict[str, Tensor]:
    found = dict(target)
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    found["boxes"] = torch.stack([width - x2, y1, width - x1, y2], 1)
    if "masks" in target:
        found["masks"] = target["masks"].flip(-1)
    if "keypoints" in target:
        points = target["keypoints"][:, mirror].clone()
        # Keypoints that are not labelled stay at 0, 0.
        points[..., 0] = torch.where(points[..., 2] > 0, width - points[..., 0], points[..., 0])
        found["keypoints"] = points
    return found
