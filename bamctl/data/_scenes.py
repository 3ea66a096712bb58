"""Scenes: digits or clothes on a cluttered canvas, with classes, boxes, masks and keypoints.

Nothing is stored: a scene is a function of its split and number. Those to train on, held out and
to test use different images of digits. Augmentation draws another scene of the same split.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bamctl.data._painting import (
    Array,
    Glyphs,
    Random,
    background,
    contrasting,
    digits,
    in_three,
    lay,
)
from bamctl.data._samples import Samples, check_channels, in_channels, seeded
from bamctl.data._source import Source, Wanted
from bamctl.data.task_names import TaskName

EXTENTS = (3, 96, 96)
KEYPOINTS = ("top", "right", "bottom", "left")
# Scenes to train on, held out, and to test.
_COUNTS = (2_000, 200, 200)
_MOST_OBJECTS = 5
# Sides of an object, as shares of the shorter side of the canvas.
_SCALES = (1 / 6, 1 / 2)
_SMALLEST = 8
# An object of which less is visible is removed from the scene.
_VISIBLE = 1 / 3


def scenes(wanted: Wanted) -> Source:
    """Return scenes of scikit-learn's digits."""
    return of_glyphs(wanted, in_three(digits()))


def of_glyphs(wanted: Wanted, splits: tuple[Glyphs, Glyphs, Glyphs]) -> Source:
    """Return scenes of glyphs to train on, held out, and to test."""
    channels, height, width = wanted.extents or EXTENTS
    check_channels(wanted.name, channels)

    def split(seed: int) -> Samples:
        glyphs = splits[seed]
        painter = _Painter(glyphs, wanted.task, seed, (channels, height, width))
        edition = f"{wanted.name}-1-{painter.extents}-{glyphs.checksum():08x}"
        return Samples(
            wanted.task, painter, _name, tuple(range(_COUNTS[seed])), labels=None, edition=edition
        )

    names = splits[0].classes
    return Source(
        split(0),
        split(1),
        lambda: split(2),
        ("background", *names) if wanted.task == "segmentation" else names,
        input_shape=(channels, height, width),
        keypoints=KEYPOINTS if wanted.task == "keypoints" else (),
    )


def _name(index: int) -> str:
    return f"scene {index}"


@dataclass(frozen=True)
class _Object:
    """A glyph at a place, with cover and brightness of shape (h, w)."""

    label: int
    cover: Array
    shade: Array
    top: int
    left: int

    def outline(self, height: int, width: int) -> Array:
        """Return the pixels that it would cover if nothing were before it."""
        found = np.zeros((height, width), bool)
        side = len(self.cover)
        found[self.top : self.top + side, self.left : self.left + side] = self.cover >= 0.5
        return found


@dataclass(frozen=True)
class _Painter:
    """Scenes of one split, by number."""

    glyphs: Glyphs
    task: TaskName
    seed: int
    extents: tuple[int, int, int]

    def __call__(self, index: int, draw: int | None) -> tuple[Tensor, Any]:
        channels, height, width = self.extents
        random = seeded(self.seed, index, draw)
        placed = [self._object(random) for _ in range(random.randint(1, _MOST_OBJECTS + 1))]
        placed, visible = _seen([(each, each.outline(height, width)) for each in placed])
        canvas = background(random, height, width, random.randint(4, 13))
        for each in placed:
            side = len(each.cover)
            under = canvas[each.top : each.top + side, each.left : each.left + side]
            paint = contrasting(random, under) * each.shade[:, :, None]
            lay(canvas, paint, each.cover, each.top, each.left)
        labels = np.array([each.label + 1 for each in placed])
        pixels = in_channels(canvas, channels).permute(2, 0, 1)
        return pixels, _TARGETS[self.task](labels, visible)

    def _object(self, random: Random) -> _Object:
        _, height, width = self.extents
        shorter = min(height, width)
        share = random.uniform(*_SCALES)
        side = min(max(int(share * shorter), _SMALLEST), shorter)
        number = random.randint(0, len(self.glyphs))
        cover, shade = self.glyphs.cut(number, side)
        top, left = (int(random.randint(0, each - side + 1)) for each in (height, width))
        return _Object(int(self.glyphs.labels[number]), cover, shade, top, left)


def _seen(placed: list[tuple[_Object, Array]]) -> tuple[list[_Object], Array]:
    """Return the objects that are not nearly hidden, and their visible masks, (M, H, W).

    Args:
        placed: objects and their outlines, from back to front.
    """
    masks = _visible(np.stack([outline for _, outline in placed]))
    keep = [
        row
        for row, (_, outline) in enumerate(placed)
        if masks[row].sum() >= max(_VISIBLE * outline.sum(), 1)
    ]
    return [placed[row][0] for row in keep], _visible(np.stack([placed[row][1] for row in keep]))


def _visible(outlines: Array) -> Array:
    """Return what is not covered by later outlines, with shape (M, H, W)."""
    after = np.logical_or.accumulate(outlines[::-1])[::-1]
    after = np.concatenate([after[1:], np.zeros_like(after[:1])])
    return outlines & ~after


def _class_map(labels: Array, masks: Array) -> Tensor:
    return torch.from_numpy((labels[:, None, None] * masks).sum(0))


def _boxes(labels: Array, masks: Array) -> dict[str, Tensor]:
    corners = [(left, top, right + 1, bottom + 1) for left, top, right, bottom in map(_ends, masks)]
    return {
        "boxes": torch.tensor(corners, dtype=torch.float32),
        "labels": torch.from_numpy(labels),
        "iscrowd": torch.zeros(len(labels), dtype=torch.int64),
    }


def _instances(labels: Array, masks: Array) -> dict[str, Tensor]:
    return {**_boxes(labels, masks), "masks": torch.from_numpy(masks.astype(np.uint8))}


def _keypoints(labels: Array, masks: Array) -> dict[str, Tensor]:
    points = torch.tensor([_extremes(mask) for mask in masks], dtype=torch.float32)
    seen = torch.full((*points.shape[:2], 1), 2.0)
    return {**_boxes(labels, masks), "keypoints": torch.cat([points, seen], 2)}


def _extremes(mask: Array) -> list[tuple[float, float]]:
    """Return x and y of the centres of the topmost, rightmost, lowest and leftmost pixels.

    Of several such pixels the middle one counts.
    """
    left, top, right, bottom = _ends(mask)
    return [
        (_middle(mask[top]) + 0.5, top + 0.5),
        (right + 0.5, _middle(mask[:, right]) + 0.5),
        (_middle(mask[bottom]) + 0.5, bottom + 0.5),
        (left + 0.5, _middle(mask[:, left]) + 0.5),
    ]


def _ends(mask: Array) -> tuple[int, int, int, int]:
    """Return the first and last column and row of a mask, as x1, y1, x2, y2."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _middle(line: Array) -> int:
    places = np.flatnonzero(line)
    return int(places[(len(places) - 1) // 2])


_TARGETS: dict[str, Callable[[Array, Array], Any]] = {
    "segmentation": _class_map,
    "detection": _boxes,
    "instance-segmentation": _instances,
    "keypoints": _keypoints,
}
