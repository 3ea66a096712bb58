"""A task of one's own: classification that is judged by its errors, in permille."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from accelerate import Accelerator
from torch import nn

from bamctl.data.images import Batch, Images
from bamctl.data.sets import Data
from bamctl.training.measure import Measure
from bamctl.training.tasks.classification import Classification
from bamctl.training.tasks.task import Scores
from bamctl.training.tasks.tasks import TASKS


@dataclass(frozen=True)
class Errors(Classification):
    @property
    def samples(self) -> Any:
        return "classification"

    def evaluate(
        self, network: nn.Module, batches: Iterable[Batch], data: Data, accelerator: Accelerator
    ) -> Scores:
        found = super().evaluate(network, batches, data, accelerator)
        return Scores(found.loss, 1000 * (1 - found.value))

    def guess(self, held_out: Images, data: Data) -> float:
        return 1000 * (1 - super().guess(held_out, data))


def make() -> Errors:
    measure = Measure("errors_permille", "errors", "‰", is_share=False, lower_is_better=True)
    usual = replace(TASKS["classification"].usual, steps=4, batch_size=32)
    return Errors("errors", usual, measure)  # type: ignore[arg-type]


def incomplete() -> object:
    return object()
