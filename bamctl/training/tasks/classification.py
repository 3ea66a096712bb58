"""Classification of images and of video clips: cross-entropy and top-1 accuracy."""

from collections.abc import Iterable
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
from bamctl.training.tasks.task import OwnSamples, Scores

if TYPE_CHECKING:
    from bamctl.training.config import TrainingConfig


@dataclass(frozen=True)
class Classification(OwnSamples):
    """One class for each image or clip."""

    def num_labels(self, network: NetworkSpec) -> int | None:
        """Return the number of classes."""
        return network.num_classes

    def network_options(self, network: NetworkSpec, data: Data) -> dict[str, Any]:
        """Return the number of classes."""
        return {"num_classes": len(data.classes)}

    def check(self, config: "TrainingConfig", trace: Trace) -> None:
        """Raise unless a network outputs a score for each class."""
        scores = (1, config.num_classes)
        if trace.is_detector or scores not in [trace.shapes[each] for each in trace.outputs]:
            raise InputError(
                f"{config.model} does not return scores of {config.num_classes} classes; "
                "choose another --task, or --task package.module:factory"
            )

    def loss(self, network: nn.Module, batch: Batch, data: Data, recipe: Recipe) -> Tensor:
        """Return the mean cross-entropy."""
        logits = logits_of(network(data.normalized(batch.inputs)))
        if not len(batch):
            return logits.sum() * 0
        return F.cross_entropy(logits, batch.targets, label_smoothing=recipe.label_smoothing)

    def evaluate(
        self, network: nn.Module, batches: Iterable[Batch], data: Data, accelerator: Accelerator
    ) -> Scores:
        """Return the mean cross-entropy and the top-1 accuracy."""
        sums = torch.zeros(3, device=accelerator.device, dtype=torch.float64)
        for batch in batches:
            labels = batch.targets
            with accelerator.autocast():
                logits = logits_of(network(data.normalized(batch.inputs))).float()
            right = (logits.argmax(1) == labels).sum()
            loss = F.cross_entropy(logits, labels, reduction="sum")
            sums += torch.stack([loss.double(), right.double(), right.new_tensor(len(labels))])
        total, right_ones, count = accelerator.reduce(sums, "sum").tolist()
        return Scores(total / max(count, 1), right_ones / max(count, 1))

    def guess(self, held_out: Images, data: Data) -> float:
        """Return the accuracy of guessing."""
        return 1 / len(data.classes)


def logits_of(output: Any) -> Tensor:
    """Return the logits of a network that may return auxiliary ones, too.

    Raises:
        InputError: there are none.
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise InputError("the network does not return class scores in training mode")
    return logits
