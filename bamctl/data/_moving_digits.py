"""Clips of a digit that moves along a row; the class is how it moves.

The digit leaves on one side and enters again on the other. The classes are orders of the same
frames: each shows the digit once at each of T places, a T-th of the width apart, and starts at a
random one. So neither one frame nor all frames without their order tell the class. The frames are
drawn, never stored: a clip is a function of its split and number, and those to train on, held out
and to test use different images of digits. Augmentation draws another clip of the same class.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bamctl.data._painting import Array, Glyphs, background, contrasting, digits, in_three, lay
from bamctl.data._samples import Samples, check_channels, in_channels, seeded
from bamctl.data._source import Source, Wanted
from bamctl.errors import InputError

# Channels, frames, height and width.
EXTENTS = (3, 8, 32, 32)
CLASSES = ("right", "left", "right-and-back", "left-and-back", "hopping-right", "hopping-left")
# With fewer frames two classes would have the same order.
FEWEST_FRAMES = 5
# Clips to train on, held out, and to test.
_COUNTS = (1_200, 240, 240)
# Sides of a digit, as shares of the shorter side of a frame.
_SCALES = (3 / 8, 5 / 8)


def moving_digits(wanted: Wanted) -> Source:
    """Return clips of moving digits.

    Raises:
        InputError: they are to have fewer than 5 frames, or neither 1 nor 3 channels.
    """
    channels, frames, height, width = wanted.extents or EXTENTS
    check_channels(wanted.name, channels)
    if frames < FEWEST_FRAMES:
        raise InputError(
            f"the clips of {wanted.name} need {FEWEST_FRAMES} frames or more, not {frames}"
        )
    splits = in_three(digits())

    def split(seed: int) -> Samples:
        painter = _Painter(splits[seed], seed, (channels, frames, height, width))
        indices = tuple(range(_COUNTS[seed]))
        labels = torch.tensor([_class_of(index) for index in indices])
        edition = f"moving-digits-1-{painter.extents}-{splits[seed].checksum():08x}"
        return Samples("video", painter, _name, indices, labels, edition)

    shape = (channels, frames, height, width)
    return Source(split(0), split(1), lambda: split(2), CLASSES, input_shape=shape)


def _name(index: int) -> str:
    return f"clip {index}"


def _class_of(index: int) -> int:
    return index % len(CLASSES)


def _order(motion: str, frames: int) -> list[int]:
    """Return the place of the digit in each frame, each of 0 to T-1 once.

    >>> _order("right", 6), _order("left", 6)
    ([0, 1, 2, 3, 4, 5], [0, 5, 4, 3, 2, 1])
    >>> _order("right-and-back", 6), _order("hopping-right", 6)
    ([0, 2, 4, 5, 3, 1], [0, 3, 1, 4, 2, 5])
    """
    every = list(range(frames))
    half = (frames + 1) // 2
    places = {
        "right": every,
        "right-and-back": every[::2] + every[1::2][::-1],
        "hopping-right": [time // 2 + time % 2 * half for time in every],
    }
    if motion in places:
        return places[motion]
    return [-place % frames for place in places[motion.replace("left", "right")]]


@dataclass(frozen=True)
class _Painter:
    """Clips of one split, by number."""

    glyphs: Glyphs
    seed: int
    extents: tuple[int, int, int, int]

    def __call__(self, index: int, draw: int | None) -> tuple[Tensor, Tensor]:
        channels, frames, _, width = self.extents
        label = _class_of(index)
        random = seeded(self.seed, index, draw)
        cover, still, colour = self._digit_before(random)
        start = random.randint(0, width)
        clip = np.repeat(still[None], frames, 0)
        for frame, place in zip(clip, _order(CLASSES[label], frames), strict=True):
            moved = np.roll(cover, start + place * width // frames, 1)
            lay(frame, colour, moved, 0, 0)
        return in_channels(clip, channels).permute(3, 0, 1, 2), torch.tensor(label)

    def _digit_before(self, random: np.random.RandomState) -> tuple[Array, Array, Array]:
        """Return the cover of a digit at the left edge, a background, and the digit's colour."""
        *_, height, width = self.extents
        shorter = min(height, width)
        side = max(int(random.uniform(*_SCALES) * shorter), 1)
        small, _ = self.glyphs.cut(random.randint(0, len(self.glyphs)), side)
        top = random.randint(0, height - side + 1)
        cover = np.zeros((height, width), np.float32)
        cover[top : top + side, :side] = small
        still = background(random, height, width, random.randint(0, 4))
        return cover, still, contrasting(random, still[top : top + side])
