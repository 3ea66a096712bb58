"""COCO's mean average precision of keypoints, which torchmetrics does not have."""

import contextlib
import io
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from bamctl.training.tasks.detection import Objects

# COCO's constants for the keypoints of a person, and their mean for keypoints of other objects
# (cocodataset.org, "Keypoint Evaluation": k = 2 sigma).
_SIGMAS = (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
_PER = 1000


class KeypointMeanAveragePrecision:
    """Accumulator of detections and objects with keypoints, evaluated by pycocotools."""

    def __init__(self) -> None:
        self._images: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def update(self, preds: Objects, target: Objects) -> None:
        """Add the detections and the objects of some images."""
        self._images += zip(preds, target, strict=True)

    def compute(self) -> dict[str, Tensor]:
        """Return `map`, the mean over ten thresholds of object keypoint similarity.

        The images of all processes are judged together; without any object it is -1.
        """
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        images = gather_object(self._images)
        detections = _annotations([found for found, _ in images])
        objects = _annotations([truth for _, truth in images])
        if not (objects and detections):
            return {"map": torch.tensor(0.0 if objects else -1.0)}
        # It reports its progress on standard output.
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {
                "images": [{"id": number} for number in range(1, len(images) + 1)],
                "annotations": objects,
                "categories": [{"id": i} for i in sorted({o["category_id"] for o in objects})],
                "info": {},
            }
            truth.createIndex()
            judged = COCOeval(truth, truth.loadRes(detections), iouType="keypoints")
            judged.params.kpt_oks_sigmas = sigmas(len(objects[0]["keypoints"]) // 3)
            judged.evaluate()
            judged.accumulate()
            judged.summarize()
        return {"map": torch.tensor(float(judged.stats[0]))}


def _annotations(images: Objects) -> list[dict[str, Any]]:
    """Return the objects or detections of some images as COCO's annotations."""
    every = [
        _annotation(objects, row, image)
        for image, objects in enumerate(images, 1)
        for row in range(len(objects["labels"]))
    ]
    return [{**each, "id": number} for number, each in enumerate(every, 1)]


def _annotation(objects: dict[str, Tensor], row: int, image: int) -> dict[str, Any]:
    left, top, right, bottom = objects["boxes"][row].tolist()
    points = objects["keypoints"][row].float().clone()
    is_found = "scores" in objects
    # Of an object, 2 is a visible keypoint in COCO; every keypoint of a detection counts.
    points[:, 2] = 1 if is_found else torch.where(points[:, 2] > 0, 2.0, 0.0)
    score = {"score": float(objects["scores"][row])} if is_found else {}
    return {
        "image_id": image,
        "category_id": int(objects["labels"][row]),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
        "keypoints": points.reshape(-1).tolist(),
        "num_keypoints": int((points[:, 2] > 0).sum()),
        **score,
    }


def sigmas(count: int) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the tolerance of each keypoint, as a share of an object's size."""
    known = np.array(_SIGMAS) / _PER
    return known if count == len(known) else np.full(count, known.mean())
