"""The tasks that networks are trained for, by name; their losses are in `training.tasks`."""

from typing import Literal

TaskName = Literal[
    "classification",
    "segmentation",
    "detection",
    "instance-segmentation",
    "keypoints",
    "video",
    "optical-flow",
]

_SAMPLES = {"video": "clips", "optical-flow": "pairs"}


def samples_of(task: str) -> str:
    """Return what the samples of a task are called; those of a task of one's own are images.

    >>> samples_of("video")
    'clips'
    """
    return _SAMPLES.get(task, "images")
