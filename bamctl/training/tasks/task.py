"""`Task`: what training and evaluation need to know of a task."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bamctl.data.images import Batch, Images
from bamctl.data.sets import Data
from bamctl.data.task_names import TaskName
from bamctl.networks.spec import NetworkSpec
from bamctl.tracing.trace import Trace
from bamctl.training.measure import Measure
from bamctl.training.recipe import Recipe

if TYPE_CHECKING:
    from bamctl.training.config import TrainingConfig


@dataclass(frozen=True)
class Usual:
    """The defaults of a task.

    `lr` is that of a batch of `lr_batch` samples; with SGD it is scaled linearly to other batches.
    `recipe` has further fields of a `Recipe`, `steps` is the length of a run, and `evaluations` how
    often it is evaluated.
    """

    data: str
    steps: int
    batch_size: int
    lr: float
    lr_batch: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    evaluations: int = 2


class Scores(NamedTuple):
    """An evaluation: the mean loss, or None if the task has none outside training; the measure."""

    loss: float | None
    value: float


class Task(Protocol):
    """A task: one object in `TASKS`, or what the user's factory returns."""

    @property
    def name(self) -> str:
        """The name."""
        ...

    @property
    def measure(self) -> Measure:
        """The measure of the held-out samples that makes the verdict."""
        ...

    @property
    def samples(self) -> TaskName:
        """The task whose samples it takes, in the form that `Batch` defines."""
        ...

    @property
    def usual(self) -> Usual:
        """The defaults."""
        ...

    def num_labels(self, network: NetworkSpec) -> int | None:
        """Return the number of labels that a network can tell apart, if it was specified."""
        ...

    def network_options(self, network: NetworkSpec, data: Data) -> dict[str, Any]:
        """Return the fields of a `NetworkSpec` that make a network answer for a data set."""
        ...

    def check(self, config: "TrainingConfig", trace: Trace) -> None:
        """Raise unless a network answers as the task needs it.

        Raises:
            InputError: it does not.
        """
        ...

    def loss(self, network: nn.Module, batch: Batch, data: Data, recipe: Recipe) -> Tensor:
        """Return the training loss of a batch on the device of the network in training mode."""
        ...

    def evaluate(
        self, network: nn.Module, batches: Iterable[Batch], data: Data, accelerator: Accelerator
    ) -> Scores:
        """Evaluate a network in eval mode, without gradients, over the samples of all processes.

        `batches` are the share of this process.
        """
        ...

    def guess(self, held_out: Images, data: Data) -> float:
        """Return the measure of the best answer that does not depend on the input."""
        ...


@dataclass(frozen=True)
class OwnSamples:
    """The fields of the tasks in `TASKS`, each of which has a form of samples of its own."""

    name: TaskName
    usual: Usual
    measure: Measure

    @property
    def samples(self) -> TaskName:
        """The task itself."""
        return self.name


def every_batch(images: Images, size: int = 64) -> Iterable[Batch]:
    """Yield all samples of a split in order, without augmentation."""
    for indices in torch.split(torch.arange(len(images)), size):
        yield images.batch(indices, None)
