"""Painting of scenes: glyphs cut out of real images, textures, and clutter."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, Any]
Random = np.random.RandomState
# The most by which a background differs from its colour, and the least from objects before it.
_UNEVEN = 64
_CONTRAST = 80


@dataclass(frozen=True)
class Glyphs:
    """Images with one object each on black, to cut out.

    Args:
        pixels: 8-bit images with shape (N, H, W).
        labels: class numbers with shape (N,).
        classes: the names of the classes.
        outline: the values at which the object begins to cover, and covers, the background.
        is_shaded: whether the values are also the brightness of the object's surface.
    """

    pixels: Array
    labels: Array
    classes: tuple[str, ...]
    outline: tuple[int, int]
    is_shaded: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: Array) -> "Glyphs":
        """Return some of the glyphs."""
        return Glyphs(
            self.pixels[rows], self.labels[rows], self.classes, self.outline, self.is_shaded
        )

    def checksum(self) -> int:
        """Return a checksum of pixels and labels."""
        return zlib.crc32(self.labels.tobytes(), zlib.crc32(self.pixels.tobytes()))

    def cut(self, number: int, side: int) -> tuple[Array, Array]:
        """Return the cover and the brightness of a resized glyph, each in [0, 1], (side, side)."""
        small = Image.fromarray(self.pixels[number])
        values = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.float32)
        low, high = self.outline
        cover = np.clip((values - low) / (high - low), 0, 1)
        shade = 0.25 + 0.75 * values / 255 if self.is_shaded else np.ones_like(values)
        return cover, shade


def digits() -> Glyphs:
    """Return scikit-learn's 1,797 digits of 8x8 pixels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * 255 / 16).round().astype(np.uint8)
    return Glyphs(pixels, found.target.astype(np.int64), tuple(map(str, range(10))), (80, 140))


def in_three(glyphs: Glyphs) -> tuple[Glyphs, Glyphs, Glyphs]:
    """Divide glyphs into two thirds to train on, a sixth held out, and a sixth to test."""
    rows = np.arange(len(glyphs))
    train, held_out, test = (rows[np.isin(rows % 6, each)] for each in ((0, 1, 2, 3), 4, 5))
    return glyphs.part(train), glyphs.part(held_out), glyphs.part(test)


def background(random: Random, height: int, width: int, strokes: int) -> Array:
    """Return a smooth texture with clutter, 8 bits, with shape (H, W, 3).

    Args:
        random: generator of the texture.
        height: pixels.
        width: pixels.
        strokes: number of lines and arcs, as thick as the strokes of digits.
    """
    knots = random.randint(2, 7)
    coarse = random.randint(64, 192, 3) + random.randint(-_UNEVEN, _UNEVEN, (knots, knots, 3))
    image = Image.fromarray(coarse.astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(image)
    for _ in range(strokes):
        _scribble(pen, random, height, width)
    grain = random.randint(-12, 13, (height, width, 1))
    pixels: Array = np.clip(np.asarray(image, np.int16) + grain, 0, 255).astype(np.uint8)
    return pixels


def _scribble(pen: ImageDraw.ImageDraw, random: Random, height: int, width: int) -> None:
    reach = max(min(height, width) // 3, 2)
    x, y = random.randint(0, width), random.randint(0, height)
    away = random.randint(-reach, reach + 1, 2)
    colour = tuple(map(int, random.randint(0, 256, 3)))
    thick = int(random.randint(1, max(reach // 8, 1) + 2))
    if random.randint(0, 2):
        pen.line([(x, y), (x + away[0], y + away[1])], colour, thick)
        return
    box = [x, y, x + 1 + abs(away[0]), y + 1 + abs(away[1])]
    start = int(random.randint(0, 360))
    pen.arc(box, start, start + int(random.randint(45, 180)), colour, thick)


def contrasting(random: Random, surface: Array) -> Array:
    """Draw a colour that is brighter than a dark surface and darker than a bright one.

    Args:
        random: generator of the colour.
        surface: the pixels below, with shape (H, W, 3).
    """
    mean = int(surface.mean())
    low, high = (mean + _CONTRAST, 256) if mean < 128 else (0, mean - _CONTRAST)
    colour: Array = random.randint(low, high, 3)
    return colour


def lay(canvas: Array, paint: Array, cover: Array, top: int, left: int) -> None:
    """Blend a patch into a canvas with shape (H, W, 3), in place.

    Args:
        canvas: 8-bit pixels.
        paint: the colour of the patch, broadcast to (h, w, 3).
        cover: its opacity, with shape (h, w).
        top: its first row.
        left: its first column.
    """
    height, width = cover.shape
    under = canvas[top : top + height, left : left + width]
    share = cover[:, :, None]
    under[...] = (share * paint + (1 - share) * under).astype(np.uint8)
