"""Detection, instance segmentation and keypoints: the network's own losses, and COCO's mAP."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bamctl.data.images import Batch, Images
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.networks import torchvision_models
from bamctl.networks.spec import NetworkSpec
from bamctl.tracing.trace import Trace
from bamctl.training.recipe import Recipe
from bamctl.training.tasks.task import OwnSamples, Scores

if TYPE_CHECKING:
    from bamctl.training.config import TrainingConfig

_WHITE = 255.0

# Scenes of 96x96 pixels hold a few objects, where COCO's images hold dozens: with the regions that
# are usual for those, a step on a CPU would take minutes.
_SMALL_SCENES = ("scenes", "fashion-scenes")
_FEW_REGIONS = {
    "rpn_post_nms_top_n_train": 200,
    "rpn_post_nms_top_n_test": 100,
    "box_batch_size_per_image": 32,
    "box_detections_per_img": 20,
}

Objects = list[dict[str, Tensor]]


class MeanAveragePrecision(Protocol):
    """Accumulator of detections, as torchmetrics' is."""

    def update(self, preds: Objects, target: Objects) -> None:
        """Add the detections and the objects of some images."""

    def compute(self) -> dict[str, Tensor]:
        """Return the mean average precision of all images as `map`; -1 without any object."""


@dataclass(frozen=True)
class Detection(OwnSamples):
    """Objects of an image, each with a box, and a mask or keypoints.

    Attributes:
        accumulator: returns an empty accumulator.
        answers: what a detection has besides a box, a class and a score.
    """

    accumulator: Callable[[], MeanAveragePrecision]
    answers: str | None = None

    def num_labels(self, network: NetworkSpec) -> int | None:
        """Return the number of classes without the background."""
        return network.num_classes and network.num_classes - 1

    def network_options(self, network: NetworkSpec, data: Data) -> dict[str, Any]:
        """Return the number of classes, with the background, and of keypoints and regions."""
        args: dict[str, Any] = {}
        if data.name in _SMALL_SCENES:
            taken = torchvision_models.parameters_of(network.name)
            args |= {name: value for name, value in _FEW_REGIONS.items() if name in taken}
        if self.answers == "keypoints":
            args["num_keypoints"] = len(data.keypoints)
        return {"num_classes": len(data.classes) + 1, "args": args}

    def check(self, config: "TrainingConfig", trace: Trace) -> None:
        """Raise unless a network is one of torchvision's detectors."""
        if not trace.is_detector:
            raise InputError(
                f"{config.model} is not a detector with torchvision's interface; choose another "
                "--task, or --task package.module:factory"
            )

    def loss(self, network: nn.Module, batch: Batch, data: Data, recipe: Recipe) -> Tensor:
        """Return the sum of the network's losses."""
        return _sum_of_losses(network, batch)

    def evaluate(
        self, network: nn.Module, batches: Iterable[Batch], data: Data, accelerator: Accelerator
    ) -> Scores:
        """Return the mean of the network's losses, and the mean average precision."""
        found = self.accumulator()
        sums = torch.zeros(2, device=accelerator.device, dtype=torch.float64)
        for batch in batches:
            with accelerator.autocast():
                objects = network(_images(batch))
            if objects and self.answers and self.answers not in objects[0]:
                raise InputError(f"the network returns no {self.answers}; choose another --task")
            found.update(list(map(_on_cpu, objects)), list(map(_on_cpu, batch.targets)))
            with accelerator.autocast(), _losses_enabled(network):
                loss = _sum_of_losses(network, batch)
            sums += torch.stack([loss.double() * len(batch), sums.new_tensor(len(batch))])
        total, count = accelerator.reduce(sums, "sum").tolist()
        return Scores(total / max(count, 1), max(float(found.compute()["map"]), 0.0))

    def guess(self, held_out: Images, data: Data) -> float:
        """Return 0; the same boxes in every image find next to nothing."""
        return 0.0


def boxes() -> MeanAveragePrecision:
    """Return torchmetrics' accumulator for boxes."""
    return _accumulator("bbox")


def masks() -> MeanAveragePrecision:
    """Return torchmetrics' accumulator for masks."""
    return _accumulator("segm")


def _accumulator(kind: Literal["bbox", "segm"]) -> MeanAveragePrecision:
    from torchmetrics.detection import MeanAveragePrecision as Accumulator

    accumulator = Accumulator(iou_type=kind, backend="pycocotools")
    # Detectors return up to 300 boxes, and COCO judges the best 100 of them.
    accumulator.warn_on_many_detections = False
    found: MeanAveragePrecision = accumulator
    return found


def _images(batch: Batch) -> list[Tensor]:
    return [image.float() / _WHITE for image in batch.inputs]


def _sum_of_losses(network: nn.Module, batch: Batch) -> Tensor:
    images = _images(batch)
    if not images:
        return sum((p.sum() * 0 for p in network.parameters()), torch.zeros(()))
    losses = network(images, batch.targets)
    if not isinstance(losses, dict):
        raise InputError("the network does not return losses in training mode")
    return sum(losses.values(), torch.zeros((), device=images[0].device))


@contextmanager
def _losses_enabled(network: nn.Module) -> Iterator[None]:
    """Let a detector return its losses in eval mode: only detectors' own modules train.

    Batch norms keep their statistics and nothing is dropped; the sampling of proposals is seeded.
    """
    ours = [each for each in network.modules() if _is_of_a_detector(each)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in ours:
            module.training = True
        try:
            yield
        finally:
            for module in ours:
                module.training = False


def _is_of_a_detector(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torchvision.models.detection")


def _on_cpu(objects: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return objects or detections on the CPU, with boolean masks of shape (M, H, W)."""
    found = {name: each.detach().cpu() for name, each in objects.items()}
    if "masks" in found:
        masks = found["masks"]
        # Detections have probabilities with shape (M, 1, H, W).
        found["masks"] = (masks > 0.5).reshape(len(masks), *masks.shape[-2:])
    return found
