"""The data sets by name, and the tasks that each can serve."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bamctl.data import _clips as clips
from bamctl.data import _coco as coco
from bamctl.data import _debian as debian
from bamctl.data import _flow_sets as flow_sets
from bamctl.data import _folder as folder
from bamctl.data import _torchvision_sets as torchvision_sets
from bamctl.data import _voc as voc
from bamctl.data._digits import digits
from bamctl.data._moving_digits import moving_digits
from bamctl.data._painting import Glyphs, in_three
from bamctl.data._scenes import of_glyphs, scenes
from bamctl.data._shifted import shifted
from bamctl.data._source import Source, Wanted
from bamctl.data.images import ArrayImages
from bamctl.data.task_names import TaskName
from bamctl.errors import InputError, did_you_mean
from bamctl.text.lists import few, series

_CLASSIFICATION: tuple[TaskName, ...] = ("classification",)
_OBJECTS: tuple[TaskName, ...] = (
    "segmentation",
    "detection",
    "instance-segmentation",
    "keypoints",
)
_MOST_NAMED = 8
# The values at which clothes begin to cover, and cover, the black around them.
_CLOTHES = (10, 40)


@dataclass(frozen=True)
class DataSet:
    """A data set: how it is read, and the tasks for which it has targets."""

    read: Callable[[Wanted], Source]
    tasks: tuple[TaskName, ...]


@dataclass(frozen=True)
class Layout:
    """The user's files: how a folder in this layout is read, and the tasks that it can serve."""

    read: Callable[[Wanted, Path], Source]
    tasks: tuple[TaskName, ...]


def _fashion_mnist(wanted: Wanted) -> Source:
    if debian.is_used(wanted):
        return debian.fashion_mnist(wanted)
    return torchvision_sets.read(wanted, "FashionMNIST")


def _fashion_scenes(wanted: Wanted) -> Source:
    """Return scenes of Fashion-MNIST's training images."""
    plain = replace(wanted, name="fashion-mnist", task="classification", extents=(1, 28, 28))
    source = _fashion_mnist(plain)
    assert isinstance(source.train, ArrayImages)
    pixels, labels = source.train.pixels[:, 0].numpy(), source.train.labels.numpy()
    clothes = Glyphs(pixels, labels, source.classes, _CLOTHES, is_shaded=True)
    return of_glyphs(wanted, in_three(clothes))


SETS: dict[str, DataSet] = {
    "digits": DataSet(digits, _CLASSIFICATION),
    "fashion-mnist": DataSet(_fashion_mnist, _CLASSIFICATION),
    "scenes": DataSet(scenes, _OBJECTS),
    "fashion-scenes": DataSet(_fashion_scenes, _OBJECTS),
    "moving-digits": DataSet(moving_digits, ("video",)),
    "shifted": DataSet(shifted, ("optical-flow",)),
    **{
        name.lower(): DataSet(partial(torchvision_sets.read, name=name), _CLASSIFICATION)
        for name in sorted(torchvision_sets.SPLITS, key=str.lower)
        if name != "FashionMNIST"
    },
    "vocdetection": DataSet(partial(voc.read_2012, name="VOCDetection"), ("detection",)),
    "vocsegmentation": DataSet(partial(voc.read_2012, name="VOCSegmentation"), ("segmentation",)),
    "flyingchairs": DataSet(flow_sets.flying_chairs, ("optical-flow",)),
    "sintel": DataSet(flow_sets.sintel, ("optical-flow",)),
}
LAYOUTS: dict[str, Layout] = {
    "folder": Layout(folder.read, _CLASSIFICATION),
    "voc": Layout(voc.read, ("segmentation", "detection")),
    "coco": Layout(coco.read, ("detection", "instance-segmentation", "keypoints")),
    "clips": Layout(clips.read, ("video",)),
}


def names(task: TaskName | None = None) -> tuple[str, ...]:
    """Return the names of all data sets, or of those that can serve a task."""
    return (
        *(name for name, each in SETS.items() if task in (None, *each.tasks)),
        *(f"{name}:PATH" for name, each in LAYOUTS.items() if task in (None, *each.tasks)),
    )


def read(wanted: Wanted) -> Source:
    """Read a data set.

    Raises:
        InputError: the name is unknown, the set does not serve the task or an input of this form,
            or it cannot be read.
    """
    layout, colon, path = wanted.name.partition(":")
    if colon and layout in LAYOUTS:
        _check_task(wanted, LAYOUTS[layout].tasks)
        return LAYOUTS[layout].read(wanted, Path(path))
    for name, each in SETS.items():
        if _plain(name) == _plain(wanted.name):
            _check_task(wanted, each.tasks)
            return each.read(wanted)
    near = did_you_mean(wanted.name, names()) or f"; there are {', '.join(names())}"
    raise InputError(f"unknown data set {wanted.name!r}{near}")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _check_task(wanted: Wanted, tasks: tuple[TaskName, ...]) -> None:
    if wanted.task not in tasks:
        raise InputError(
            f"{wanted.name} serves {', '.join(tasks)}, not {wanted.task}; for {wanted.task} there "
            f"are {few(names(wanted.task), _MOST_NAMED)}"
        )
    _check_form(wanted)


def _check_form(wanted: Wanted) -> None:
    form = ("channels", *(["frames"] if wanted.task == "video" else []), "height", "width")
    # Images to classify that are in memory have a size of their own.
    extents = wanted.extents or (wanted.usual if wanted.task != "classification" else None)
    if extents is not None and len(extents) != len(form):
        raise InputError(
            f"the input for {wanted.task} has {series(form)}, not {'x'.join(map(str, extents))}"
        )
