"""The user's clips, in one folder for each class: videos, or folders of frames.

A clip is cut into T parts of the same length, and one frame of each is read: the middle one, or as
augmentation a random one (Wang et al., ECCV 2016, section 3.1), at the same random crop.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bamctl.data import _videos as videos
from bamctl.data._files import Named, opened, pixels
from bamctl.data._folder import Kind, has_image, read_classes
from bamctl.data._samples import Samples, check_channels, seeded
from bamctl.data._source import Source, Wanted
from bamctl.data.images import Images, sized
from bamctl.errors import InputError


def read(wanted: Wanted, folder: Path) -> Source:
    """Return clips in class folders, as described by `read_classes`.

    Raises:
        InputError: there are no class folders, a clip cannot be read and is not to be skipped, or
            there are videos and PyAV is not installed.
    """
    check_channels(wanted.name, (wanted.extents or wanted.usual)[0])
    clips = Kind("clips", "clip", "train/jump/1.mp4", _clips, _is_readable, _split)
    return read_classes(wanted, folder, clips)


def _clips(folder: Path) -> list[Path]:
    """Return the videos and folders of frames of a class."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() or path.suffix.lower() in videos.EXTENSIONS
    )


def _frames(folder: Path) -> list[Path]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    images = (file for file in folder.iterdir() if file.suffix.lower() in IMG_EXTENSIONS)
    return sorted(images, key=_in_order)


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts numbers by value: 2.png comes before 10.png."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _is_readable(clip: Path) -> bool:
    if clip.is_dir():
        frames = _frames(clip)
        return bool(frames) and has_image(frames[0])
    return videos.has_video(clip)


def _split(wanted: Wanted, paths: list[Path], labels: Tensor) -> Images:
    channels, frames, height, width = wanted.extents or wanted.usual
    reader = _Reader(paths, labels, (channels, frames, height, width))
    edition = f"clips-{zlib.crc32(labels.numpy().tobytes()):08x}"
    return Samples("video", reader, Named(paths), tuple(range(len(paths))), labels, edition)


@dataclass(frozen=True)
class _Reader:
    """Decoder of clips and their classes."""

    paths: list[Path]
    labels: Tensor
    extents: tuple[int, int, int, int]

    def __call__(self, index: int, draw: int | None) -> tuple[Tensor, Tensor]:
        channels, count, height, width = self.extents
        path = self.paths[index]

        def times(total: int) -> list[int]:
            return _times(total, count, draw)

        images = _of_folder(path, times) if path.is_dir() else videos.frames(path, times)
        if len({image.size for image in images}) > 1:
            raise InputError("its frames differ in size")
        frames = torch.stack([pixels(image, channels) for image in images])
        return sized(frames, (height, width), draw).transpose(0, 1), self.labels[index]


def _of_folder(folder: Path, times: Callable[[int], Sequence[int]]) -> list[Any]:
    frames = _frames(folder)
    if not frames:
        raise InputError("it has no frames")
    return [opened(frames[time]) for time in times(len(frames))]


def _times(total: int, count: int, draw: int | None) -> list[int]:
    """Return which of the frames are read, in order; in a short clip some more than once.

    >>> _times(16, 4, None), _times(2, 4, None)
    ([2, 6, 10, 14], [0, 0, 1, 1])
    """
    places = [0.5] * count if draw is None else seeded(draw).uniform(size=count)
    return [int((part + place) * total / count) for part, place in enumerate(places)]
