"""Images in files with class maps, brought to one size."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bamctl.data._files import Named, opened, pixels
from bamctl.data._samples import Samples, seeded
from bamctl.data._source import Wanted
from bamctl.errors import InputError

# Pixels of this class are not judged.
NOT_JUDGED = 255
# They have this colour in VOC.
_BORDER = (224, 224, 192)

Colour = tuple[int, int, int]


def maps(
    wanted: Wanted,
    files: list[tuple[Path, Path]],
    num_classes: int,
    colours: tuple[Colour, ...] = (),
) -> Samples:
    """Return a split of images and the files of their class maps.

    An image is scaled to fit into the network's input, and the rest is not judged. Augmentation
    scales it by half to twice as much, mirrors it by chance and cuts a window out, as torchvision's
    reference training does.

    Args:
        wanted: the request.
        files: the image and the class map of each sample.
        num_classes: classes with the background.
        colours: the colour of each class; left out, a map has class numbers.
    """
    channels, height, width = wanted.extents or wanted.usual
    reader = _Reader(files, num_classes, colours, (channels, height, width))
    edition = f"maps-{zlib.crc32('/'.join(mask.name for _, mask in files).encode()):08x}"
    names = Named([path for path, _ in files])
    return Samples("segmentation", reader, names, tuple(range(len(files))), None, edition)


@dataclass(frozen=True)
class _Reader:
    """Decoder of images and class maps."""

    files: list[tuple[Path, Path]]
    num_classes: int
    colours: tuple[Colour, ...]
    extents: tuple[int, int, int]

    def __call__(self, index: int, draw: int | None) -> tuple[Tensor, Tensor]:
        path, mask = self.files[index]
        channels, *extents = self.extents
        image = pixels(opened(path), channels)
        classes = self._classes(mask)
        if classes.shape != image.shape[1:]:
            raise InputError(f"{mask} has another size than its image")
        scale = min(side / own for side, own in zip(extents, classes.shape, strict=True))
        if draw is None:
            return _window(image, classes, scale, extents, (0.0, 0.0))
        random = seeded(draw)
        image, classes, window = _window_drawn(random, image, classes)
        return _window(image, classes, scale * 2 ** random.uniform(-1, 1), extents, window)

    def _classes(self, file: Path) -> Tensor:
        """Return the class of each pixel, with shape (H, W); of a palette image, its indices."""
        classes = torch.from_numpy(self._numbers(file))
        judged = classes[classes != NOT_JUDGED]
        if not len(judged):
            raise InputError(f"{file} is empty: no pixel has a class")
        if judged.max() >= self.num_classes:
            raise InputError(f"{file} has the class {judged.max()}, of {self.num_classes}")
        return classes

    def _numbers(self, file: Path) -> "np.ndarray[Any, Any]":
        image = opened(file)
        if not self.colours:
            if image.mode not in ("P", "L", "1"):
                raise InputError(f"{file} has colours in place of class numbers")
            return np.array(image, np.uint8)
        pixels = np.asarray(image.convert("RGB"))
        classes = np.full(pixels.shape[:2], NOT_JUDGED, np.uint8)
        known = (pixels == _BORDER).all(2)
        for number, colour in enumerate(self.colours):
            chosen = (pixels == colour).all(2)
            classes[chosen] = number
            known |= chosen
        if not known.all():
            raise InputError(f"{file} has the colour {pixels[~known][0].tolist()}, of no class")
        return classes


def _window_drawn(
    random: np.random.RandomState, image: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """Mirror an image by chance, and draw the place of a window, as shares of what is left over."""
    if random.randint(0, 2):
        image, classes = image.flip(-1), classes.flip(-1)
    return image, classes, (random.uniform(), random.uniform())


def _window(
    image: Tensor,
    classes: Tensor,
    scale: float,
    extents: list[int],
    place: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Resize an image and its class map, and cut or pad both to a size."""
    from torchvision.transforms.v2 import functional

    sides = [max(round(side * scale), 1) for side in classes.shape]
    image = functional.resize(image, sides, antialias=True)
    nearest = functional.InterpolationMode.NEAREST
    classes = functional.resize(classes[None], sides, interpolation=nearest)[0]
    cut = [
        slice(start := int(share * max(side - most, 0)), start + min(side, most))
        for side, most, share in zip(sides, extents, place, strict=True)
    ]
    framed = torch.zeros((len(image), *extents), dtype=torch.uint8)
    judged = torch.full(tuple(extents), NOT_JUDGED, dtype=torch.int64)
    rows, columns = (min(side, most) for side, most in zip(sides, extents, strict=True))
    framed[:, :rows, :columns] = image[:, cut[0], cut[1]]
    judged[:rows, :columns] = classes[cut[0], cut[1]]
    return framed, judged
