"""torchvision's data sets for optical flow that people have: FlyingChairs and Sintel.

Images are cut to the size of torchvision's reference training: held-out ones in the middle, those
to train on at a random place, and mirrored by chance.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bamctl.data._files import pixels
from bamctl.data._samples import Samples, check_channels, seeded
from bamctl.data._source import Source, Wanted
from bamctl.data.images import Images
from bamctl.errors import InputError, first_line

CHAIRS = (3, 368, 496)
SINTEL = (3, 368, 768)
_PAGES = {
    "FlyingChairs": "https://lmb.informatik.uni-freiburg.de/resources/datasets/FlyingChairs.en.html",
    "Sintel": "http://sintel.is.tue.mpg.de",
}
# Share of Sintel's scenes that are held out; neighbouring pairs of a scene are nearly the same.
_HELD_OUT = 1 / 5
# Longer motions, in pixels, are unknown ones, as in torchvision's reference training.
_LONGEST = 1_000


def flying_chairs(wanted: Wanted) -> Source:
    """Return FlyingChairs, with the validation split that its authors list.

    Raises:
        InputError: it does not exist in the folder of torchvision's sets, or is incomplete.
    """
    found = (_dataset(wanted, "FlyingChairs", split=split) for split in ("train", "val"))
    train, held_out = (_pairs(wanted, each, range(len(each)), CHAIRS) for each in found)
    return Source(train, held_out, None, (), input_shape=wanted.extents or CHAIRS)


def sintel(wanted: Wanted) -> Source:
    """Return Sintel's clean pass, whose last fifth of scenes is held out.

    Raises:
        InputError: it does not exist in the folder of torchvision's sets, or is incomplete.
    """
    dataset = _dataset(wanted, "Sintel", split="train", pass_name="clean")
    order = sorted(range(len(dataset)), key=lambda index: dataset._image_list[index])
    scenes = [Path(dataset._image_list[index][0]).parent.name for index in order]
    names = sorted(set(scenes))
    if len(names) < 2:
        raise InputError(f"Sintel in {wanted.root} has one scene, and another is to be held out")
    held = set(names[-max(round(_HELD_OUT * len(names)), 1) :])
    parts: tuple[list[int], list[int]] = ([], [])
    for index, scene in zip(order, scenes, strict=True):
        parts[scene in held].append(index)
    train, held_out = (_pairs(wanted, dataset, part, SINTEL) for part in parts)
    return Source(train, held_out, None, (), input_shape=wanted.extents or SINTEL)


def _dataset(wanted: Wanted, name: str, **options: str) -> Any:
    """Return a data set of torchvision whose every pair has a flow of the same name."""
    import torchvision

    try:
        found = getattr(torchvision.datasets, name)(wanted.root, **options)
    except (OSError, IndexError, ValueError) as error:
        raise InputError(
            f"{name} is missing or incomplete in {wanted.root} ({first_line(error)}); download it "
            f"from {_PAGES[name]}, and pass the folder that holds {name} to --data-root"
        ) from error
    images = [_key(each[0]) for each in found._image_list]
    flows = [_key(each) for each in found._flow_list]
    if not images or images != flows:
        odd = sorted(set(images) ^ set(flows))
        what = f"no flow or no images for {odd[0]}" if odd else "no pairs"
        raise InputError(f"{name} in {wanted.root} is incomplete: {what}; download it again")
    return found


def _key(path: str) -> str:
    """Return what a flow and its first image have in common.

    >>> _key("data/00001_img1.ppm"), _key("data/00001_flow.flo")
    ('data/00001', 'data/00001')
    >>> _key("clean/alley_1/frame_0001.png"), _key("flow/alley_1/frame_0001.flo")
    ('alley_1/frame_0001', 'alley_1/frame_0001')
    """
    stem = Path(path).stem.removesuffix("_img1").removesuffix("_flow")
    return f"{Path(path).parent.name}/{stem}"


def _pairs(wanted: Wanted, dataset: Any, indices: Any, usual: tuple[int, int, int]) -> Images:
    channels, height, width = wanted.extents or usual
    check_channels(wanted.name, channels)
    reader = _Reader(dataset, (channels, height, width))
    name = _Named([each[0] for each in dataset._image_list])
    return Samples("optical-flow", reader, name, tuple(indices), None, wanted.name.lower())


@dataclass(frozen=True)
class _Named:
    """Names of pairs in messages: the path of the first image."""

    paths: list[str]

    def __call__(self, index: int) -> str:
        return self.paths[index]


@dataclass(frozen=True)
class _Reader:
    """Decoder of pairs and their flow."""

    dataset: Any
    extents: tuple[int, int, int]

    def __call__(self, index: int, draw: int | None) -> tuple[Tensor, Tensor]:
        channels, *extents = self.extents
        first, second, flow = self.dataset[index]
        pair = torch.stack([pixels(first, channels), pixels(second, channels)])
        known = (np.abs(flow) < _LONGEST).all(0, keepdims=True)
        target = torch.from_numpy(np.concatenate([flow, known]).astype(np.float32))
        if target.shape[1:] != pair.shape[2:]:
            raise InputError("its flow has another size than its images")
        place = (0.5, 0.5)
        if draw is not None:
            random = seeded(draw)
            place = (random.uniform(), random.uniform())
            if random.randint(0, 2):
                pair, target = pair.flip(-1), target.flip(-1)
                target[0] *= -1
        return _cut(pair, extents, place), _cut(target, extents, place)


def _cut(values: Tensor, extents: list[int], place: tuple[float, float]) -> Tensor:
    """Cut a window out, at a share of what is left over; pad with 0, which is an unknown flow."""
    sides = list(values.shape[-2:])
    for axis, (side, most, share) in enumerate(zip(sides, extents, place, strict=True)):
        values = values.narrow(axis - 2, int(share * max(side - most, 0)), min(side, most))
    below, right = (most - min(side, most) for side, most in zip(sides, extents, strict=True))
    return torch.nn.functional.pad(values, (0, right, 0, below))
