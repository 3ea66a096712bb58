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
