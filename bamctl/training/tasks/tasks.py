"""The tasks by name, and the usual task of a network."""

from functools import cache
from typing import Any

from bamctl.data.task_names import TaskName
from bamctl.errors import BamctlError, InputError, did_you_mean
from bamctl.networks import factories, timm_models, torchvision_models
from bamctl.networks.spec import NetworkSpec
from bamctl.tracing.trace import Trace, trace
from bamctl.training.measure import ACCURACY, Measure
from bamctl.training.tasks import detection
from bamctl.training.tasks.classification import Classification
from bamctl.training.tasks.detection import Detection
from bamctl.training.tasks.keypoint_map import KeypointMeanAveragePrecision
from bamctl.training.tasks.optical_flow import OpticalFlow
from bamctl.training.tasks.segmentation import Segmentation
from bamctl.training.tasks.task import Task, Usual

# The recipe for classification is that of the authors of BAM, and the one for flow torchvision's
# reference training. The others are for a few hundred steps from scratch, which torchvision's, that
# start from a trained backbone or take days, are not. Steps are what a short run on a CPU can take.
_ADAMW = {"optimizer": "adamw"}
_CLASSES = Measure(ACCURACY, "accuracy")
_OBJECTS = Usual("scenes", 120, 4, 1e-3, 4, {**_ADAMW, "clip_norm": 10.0})
_BOXES = Measure("box_map", "box mAP")
_MASKS = Measure("mask_map", "mask mAP")
_KEYPOINTS = Measure("keypoint_map", "keypoint mAP")
_END_POINTS = Measure(
    "end_point_error_px", "end-point error", "px", is_share=False, lower_is_better=True
)

TASKS: dict[str, Task] = {
    "classification": Classification(
        "classification", Usual("digits", 150, 64, 0.1, 256, evaluations=5), _CLASSES
    ),
    "segmentation": Segmentation(
        "segmentation", Usual("scenes", 300, 8, 2e-3, 8, _ADAMW), Measure("mean_iou", "mean IoU")
    ),
    "detection": Detection("detection", _OBJECTS, _BOXES, detection.boxes),
    "instance-segmentation": Detection(
        "instance-segmentation", _OBJECTS, _MASKS, detection.masks, "masks"
    ),
    "keypoints": Detection(
        "keypoints", _OBJECTS, _KEYPOINTS, KeypointMeanAveragePrecision, "keypoints"
    ),
    "video": Classification("video", Usual("moving-digits", 80, 8, 5e-4, 8, _ADAMW), _CLASSES),
    "optical-flow": OpticalFlow(
        "optical-flow",
        Usual("shifted", 150, 2, 4e-4, 2, {**_ADAMW, "clip_norm": 1.0}),
        _END_POINTS,
    ),
}

_BY_FAMILY: dict[str, TaskName] = {
    "classification": "classification",
    "quantization": "classification",
    "segmentation": "segmentation",
    "video": "video",
    "optical_flow": "optical-flow",
}

# Detectors that answer more than boxes, by the beginning of their builder's name.
_DETECTORS: dict[str, TaskName] = {
    "maskrcnn": "instance-segmentation",
    "keypointrcnn": "keypoints",
}

_NEEDED = tuple(name for name in vars(Task) if not name.startswith("_"))


@cache
def task_named(name: str) -> Task:
    """Return a task by its name, or what a factory of one's own returns.

    Args:
        name: a key of `TASKS`, or `package.module:factory`, a function without parameters.

    Raises:
        InputError: there is no such task, or the factory fails, is not trusted, or returns
            something else.
    """
    if not factories.is_factory(name):
        if name not in TASKS:
            near = did_you_mean(name, TASKS) or f"; there are {', '.join(TASKS)}"
            raise InputError(f"unknown task {name!r}{near}, or package.module:factory")
        return TASKS[name]
    task: Any = factories.call(name)
    if lacking := [each for each in _NEEDED if not hasattr(task, each)]:
        raise InputError(
            f"{name} returned a {type(task).__name__} without {lacking[0]!r}; a task has "
            f"{', '.join(_NEEDED)}"
        )
    found: Task = task
    return found


def usual_task(network: NetworkSpec) -> str:
    """Return the name of the task that a network is usually trained for.

    It is that of the family of torchvision's builders, classification for timm's models, and for
    others it follows from what the network returns.

    Raises:
        InputError: the network does not exist.
    """
    name = network.name
    if timm_models.is_timm(name):
        return "classification"
    family = torchvision_models.families().get(name)
    if family == "detection":
        begins = (task for begin, task in _DETECTORS.items() if name.startswith(begin))
        return next(begins, "detection")
    if family is not None:
        return _BY_FAMILY[family]
    try:
        return _by_answer(trace(network.build(), network.inputs))
    except BamctlError:
        # It may run on no other input than that of its data.
        return "classification"


def _by_answer(found: Trace) -> TaskName:
    if found.is_detector:
        return "detection"
    shapes = [found.shapes[each] for each in found.outputs]
    if any(len(shape) == 4 and shape[1] == 2 for shape in shapes) and len(found.given) > 1:
        return "optical-flow"
    is_video = len(found.given[0].shape) == 4
    if any(len(shape) == 2 for shape in shapes):
        return "video" if is_video else "classification"
    return "segmentation" if any(len(shape) == 4 for shape in shapes) else "classification"
