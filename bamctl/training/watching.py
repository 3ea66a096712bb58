"""Events of a training run, and the observers that receive them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from bamctl.training._state import State
from bamctl.training.config import TrainingConfig


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of a network after some steps.

    `train_loss` is the mean since the evaluation before; it is None, as `loss` is, where it is not
    finite. `accuracy` is the fraction of the held-out images that are named right; a network that
    `diverged` is counted as one that guesses. `test_accuracy` is there at the end, if asked for.
    """

    step: int
    images: int
    lr: float
    train_loss: float | None
    loss: float | None
    accuracy: float
    diverged: bool = False
    test_accuracy: float | None = None


@dataclass(frozen=True)
class Timing:
    """Timing of a run; `peak_memory_bytes` is the peak of a training step."""

    seconds_per_step: float
    peak_memory_bytes: int


class Watcher(Protocol):
    """Observer of a run."""

    def stepped(self, step: int, loss: float | None) -> None:
        """A step is done, the loss being known every few steps."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """An evaluation is done."""

    def keep(self, step: int, state: Callable[[], State]) -> None:
        """The run could go on from here."""

    def skipped(self, files: tuple[str, ...]) -> None:
        """Images could not be read, and are left out."""


class Progress(Protocol):
    """Observer of a comparison."""

    def prepared(self, config: TrainingConfig, num_arms: int, folder: Path) -> None:
        """The comparison is ready, and its runs begin."""

    def run_started(self, arm: str, seed: int, step: int) -> None:
        """An arm is trained with a seed, from a step on."""

    def stepped(self, step: int, loss: float | None) -> None:
        """A step is done, the loss being known every few steps."""

    def evaluated(self, arm: str, seed: int, evaluation: Evaluation) -> None:
        """An evaluation is done, and written down."""

    def note(self, text: str) -> None:
        """Something that a person should know, such as an image that is left out."""


class NullObserver:
    """Follows a run or a whole comparison, and does nothing."""

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *told: None


def as_line(arm: str, seed: int, evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as a line of `metrics.jsonl`."""
    values = {k: v for k, v in asdict(evaluation).items() if k != "test_accuracy" or v is not None}
    return {"arm": arm, "seed": seed, **values}
