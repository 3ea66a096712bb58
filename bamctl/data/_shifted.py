"""Pairs of images with known optical flow: digits that move before a background that moves.

Each layer moves by whole pixels, so the second image repeats the pixels of the first exactly.
Nothing is stored: a pair is a function of its split and number, and those to train on, held out
and to test use different images of digits. Augmentation draws another pair.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bamctl.data._painting import Array, Glyphs, Random, background, contrasting, digits, in_three
from bamctl.data._samples import Samples, check_channels, in_channels, seeded
from bamctl.data._source import Source, Wanted

EXTENTS = (3, 128, 128)
# Pairs to train on, held out, and to test.
_COUNTS = (1_000, 64, 64)
# The longest motion along an axis as a share of the shorter side: of the background, and of an
# object relative to it.
_BACKGROUND, _OBJECT = 1 / 16, 1 / 12
_OBJECTS = (2, 6)
_SCALES = (1 / 6, 1 / 2)


def shifted(wanted: Wanted) -> Source:
    """Return pairs of images with known flow; they have no classes."""
    channels, height, width = wanted.extents or EXTENTS
    check_channels(wanted.name, channels)
    splits = in_three(digits())

    def split(seed: int) -> Samples:
        painter = _Painter(splits[seed], seed, (channels, height, width))
        edition = f"shifted-1-{painter.extents}-{splits[seed].checksum():08x}"
        indices = tuple(range(_COUNTS[seed]))
        return Samples("optical-flow", painter, _name, indices, labels=None, edition=edition)

    shape = (channels, height, width)
    return Source(split(0), split(1), lambda: split(2), (), input_shape=shape)


def _name(index: int) -> str:
    return f"pair {index}"


@dataclass(frozen=True)
class _Frame:
    """One image with margins: 8-bit pixels, (H, W, 3), and the number of each pixel's layer."""

    pixels: Array
    layers: Array

    def put(self, patch: Array, mask: Array, layer: int, top: int, left: int) -> None:
        """Put a patch with shape (h, w, 3) where its mask is set."""
        height, width = mask.shape
        place = slice(top, top + height), slice(left, left + width)
        self.pixels[place][mask] = patch[mask]
        self.layers[place][mask] = layer


@dataclass(frozen=True)
class _Painter:
    """Pairs of one split, by number."""

    glyphs: Glyphs
    seed: int
    extents: tuple[int, int, int]

    def __call__(self, index: int, draw: int | None) -> tuple[Tensor, Tensor]:
        channels, height, width = self.extents
        random = seeded(self.seed, index, draw)
        far, near = (max(int(share * min(height, width)), 1) for share in (_BACKGROUND, _OBJECT))
        margin = far + near
        motions = [random.randint(-far, far + 1, 2)]
        first = self._still(random, margin)
        # The margin takes what leaves on one side and enters on the other.
        second = _Frame(np.roll(first.pixels, motions[0], (0, 1)), first.layers.copy())
        for layer in range(1, random.randint(*_OBJECTS) + 1):
            motions.append(motions[0] + random.randint(-near, near + 1, 2))
            patch, mask, top, left = self._object(random, first, margin)
            first.put(patch, mask, layer, top, left)
            second.put(patch, mask, layer, top + motions[-1][0], left + motions[-1][1])
        cut = slice(margin, margin + height), slice(margin, margin + width)
        flow = _flow(first.layers[cut], second.layers[cut], np.stack(motions))
        pair = np.stack([first.pixels[cut], second.pixels[cut]])
        return in_channels(pair, channels).permute(0, 3, 1, 2), flow

    def _still(self, random: Random, margin: int) -> _Frame:
        _, height, width = self.extents
        sides = height + 2 * margin, width + 2 * margin
        return _Frame(background(random, *sides, random.randint(15, 30)), np.zeros(sides, int))

    def _object(self, random: Random, frame: _Frame, margin: int) -> tuple[Array, Array, int, int]:
        """Return a textured digit, its mask, and its place, which is inside of the first image."""
        _, height, width = self.extents
        side = max(int(random.uniform(*_SCALES) * min(height, width)), 1)
        cover, _ = self.glyphs.cut(random.randint(0, len(self.glyphs)), side)
        top, left = (margin + random.randint(0, each - side + 1) for each in (height, width))
        surface = frame.pixels[top : top + side, left : left + side]
        texture = background(random, side, side, 3).astype(int)
        patch = (contrasting(random, surface) + texture) // 2
        return patch.astype(np.uint8), cover >= 0.5, top, left


def _flow(first: Array, second: Array, motions: Array) -> Tensor:
    """Return motion along x, along y, and 1 where the pixel is visible in both images, (3, H, W).

    Args:
        first: the layer of each pixel of the first image, with shape (H, W).
        second: that of each pixel of the second image.
        motions: rows and columns by which each layer moves, with shape (layers, 2).
    """
    height, width = first.shape
    down, right = np.moveaxis(motions[first], 2, 0)
    rows, columns = np.indices(first.shape)
    rows, columns = rows + down, columns + right
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    there = second[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    seen = inside & (there == first)
    return torch.from_numpy(np.stack([right, down, seen]).astype(np.float32))
