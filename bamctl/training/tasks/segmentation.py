"""Semantic segmentation: cross-entropy of every pixel, and mean intersection over union."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from bamctl.data.images import Batch, Images
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.networks.spec import NetworkSpec
from bamctl.tracing.trace import Trace
from bamctl.training.recipe import Recipe
from bamctl.training.tasks.task import OwnSamples, Scores, every_batch

if TYPE_CHECKING:
    from torchmetrics.classification import MulticlassJaccardIndex

    from bamctl.training.config import TrainingConfig

# Pixels that are not judged, as in Pascal VOC.
VOID = 255
# Weight of the auxiliary head, as in torchvision's reference training.
_AUXILIARY = 0.5


@dataclass(frozen=True)
class Segmentation(OwnSamples):
    """A class for each pixel."""

    def num_labels(self, network: NetworkSpec) -> int | None:
        """Return the number of classes, with the background."""
        return network.num_classes

    def network_options(self, network: NetworkSpec, data: Data) -> dict[str, Any]:
        """Return the number of classes, with the background."""
        return {"num_classes": len(data.classes)}

    def check(self, config: "TrainingConfig", trace: Trace) -> None:
        """Raise unless a network outputs a map of class scores."""
        maps = (trace.shapes[each] for each in trace.outputs)
        if trace.is_detector or not any(
            len(shape) == 4 and shape[1] == config.num_classes for shape in maps
        ):
            raise InputError(
                f"{config.model} does not return a map of {config.num_classes} class scores; "
                "choose another --task, or --task package.module:factory"
            )

    def loss(self, network: nn.Module, batch: Batch, data: Data, recipe: Recipe) -> Tensor:
        """Return the mean cross-entropy of the pixels, and half of that of an auxiliary head."""
        answer = network(data.normalized(batch.inputs))
        scores = _scores(answer)
        if not (batch.targets != VOID).any():
            return scores.sum() * 0
        loss = _cross_entropy(scores, batch.targets)
        auxiliary = answer.get("aux") if isinstance(answer, Mapping) else None
        if auxiliary is None:
            return loss
        return loss + _AUXILIARY * _cross_entropy(auxiliary, batch.targets)

    def evaluate(
        self, network: nn.Module, batches: Iterable[Batch], data: Data, accelerator: Accelerator
    ) -> Scores:
        """Return the mean cross-entropy of the pixels, and the mean IoU over the classes."""
        iou = _mean_iou(len(data.classes)).to(accelerator.device)
        sums = torch.zeros(2, device=accelerator.device, dtype=torch.float64)
        for batch in batches:
            with accelerator.autocast():
                scores = _scores(network(data.normalized(batch.inputs))).float()
            scores = _as_large_as(batch.targets, scores)
            iou.update(scores.argmax(1), batch.targets)
            loss = F.cross_entropy(scores, batch.targets, ignore_index=VOID, reduction="sum")
            sums += torch.stack([loss.double(), (batch.targets != VOID).sum().double()])
        total, count = accelerator.reduce(sums, "sum").tolist()
        return Scores(total / max(count, 1), float(iou.compute()))

    def guess(self, held_out: Images, data: Data) -> float:
        """Return the mean IoU of the background everywhere."""
        iou = _mean_iou(len(data.classes))
        for batch in every_batch(held_out):
            iou.update(torch.zeros_like(batch.targets), batch.targets)
        return float(iou.compute())


def _mean_iou(num_classes: int) -> "MulticlassJaccardIndex":
    """Return the IoU of a class over all images, as a mean over the classes that occur."""
    from torchmetrics.classification import MulticlassJaccardIndex

    return MulticlassJaccardIndex(num_classes, ignore_index=VOID, validate_args=False)


def _scores(answer: Any) -> Tensor:
    scores = answer.get("out") if isinstance(answer, Mapping) else answer
    if not isinstance(scores, Tensor) or scores.ndim != 4:
        raise InputError("the network does not return a map of class scores in training mode")
    return scores


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(_as_large_as(targets, scores), targets, ignore_index=VOID)


def _as_large_as(targets: Tensor, scores: Tensor) -> Tensor:
    """Return scores at the size of the targets, which networks of one's own may not return."""
    size = targets.shape[-2:]
    if scores.shape[-2:] == size:
        return scores
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
