"""Optical flow: RAFT's sequence loss, and the end-point error."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bamctl.data.images import Batch, Images
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.networks.spec import NetworkSpec
from bamctl.tracing.trace import Trace
from bamctl.training.recipe import Recipe
from bamctl.training.tasks.task import OwnSamples, Scores, every_batch

if TYPE_CHECKING:
    from bamctl.training.config import TrainingConfig

# Teed and Deng, "RAFT", ECCV 2020: the weight of each update to that of the next (equation 7).
_GAMMA = 0.8
# Faster motions are left out of the loss, as in the authors' training and torchvision's.
_FASTEST = 400.0
_HALF_OF_WHITE = 127.5


@dataclass(frozen=True)
class OpticalFlow(OwnSamples):
    """The motion of every pixel from one image to the next, in pixels."""

    def num_labels(self, network: NetworkSpec) -> int | None:
        """Return None; a flow has no classes."""
        return None

    def network_options(self, network: NetworkSpec, data: Data) -> dict[str, Any]:
        """Return nothing; a flow has no classes."""
        return {}

    def check(self, config: "TrainingConfig", trace: Trace) -> None:
        """Raise unless a network outputs fields of two channels."""
        maps = (trace.shapes[each] for each in trace.outputs)
        if not any(len(shape) == 4 and shape[1] == 2 for shape in maps):
            raise InputError(
                f"{config.model} does not return a field of motion for two images; choose another "
                "--task, or --task package.module:factory"
            )

    def loss(self, network: nn.Module, batch: Batch, data: Data, recipe: Recipe) -> Tensor:
        """Return the weighted L1 distances of all updates (Teed and Deng 2020, equation 7)."""
        flows = _flows(network, batch)
        truth, known = batch.targets[:, :2], batch.targets[:, 2:] > 0
        known = known & (truth.norm(dim=1, keepdim=True) < _FASTEST)
        loss: Tensor = truth.new_zeros(())
        for i, flow in enumerate(reversed(flows)):
            loss = loss + _GAMMA**i * ((flow - truth).abs() * known).mean()
        return loss

    def evaluate(
        self, network: nn.Module, batches: Iterable[Batch], data: Data, accelerator: Accelerator
    ) -> Scores:
        """Return the mean end-point error of all known pixels, which is the loss, too."""
        sums = torch.zeros(2, device=accelerator.device, dtype=torch.float64)
        for batch in batches:
            with accelerator.autocast():
                flow = _flows(network, batch)[-1].float()
            sums += _errors(flow, batch.targets)
        total, count = accelerator.reduce(sums, "sum").tolist()
        return Scores(None, total / max(count, 1))

    def guess(self, held_out: Images, data: Data) -> float:
        """Return the end-point error of no motion at all."""
        sums = torch.zeros(2, dtype=torch.float64)
        for batch in every_batch(held_out):
            sums += _errors(torch.zeros_like(batch.targets[:, :2]), batch.targets)
        total, count = sums.tolist()
        return float(total / max(count, 1))


def _flows(network: nn.Module, batch: Batch) -> list[Tensor]:
    """Return the flows of all updates, each with shape (N, 2, H, W)."""
    first, second = (batch.inputs.float() / _HALF_OF_WHITE - 1).unbind(1)
    answer = network(first, second)
    flows = [answer] if isinstance(answer, Tensor) else list(answer)
    if not all(isinstance(each, Tensor) and each.shape[1] == 2 for each in flows):
        raise InputError("the network does not return fields of motion")
    return flows


def _errors(flow: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the end-point errors, and the number of known pixels."""
    known = targets[:, 2] > 0
    errors = (flow - targets[:, :2]).double().norm(dim=1)[known]
    return torch.stack([errors.sum(), known.sum().double()])
