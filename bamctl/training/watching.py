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

    `train_loss` is the mean since the last evaluation; it and `loss` are None if not finite.
    `accuracy` is the top-1 accuracy on the held-out images, a fraction; if the network has
    `diverged` it is set to chance. `test_accuracy` is measured at the end, if requested.
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
        """Handle the end of a step; `loss` is None except every few steps."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Handle an evaluation."""

    def keep(self, step: int, state: Callable[[], State]) -> None:
        """Handle a point from which the run can be resumed; `state` returns the state."""

    def skipped(self, files: tuple[str, ...]) -> None:
        """Handle unreadable images that are skipped."""


class Progress(Protocol):
    """Observer of a comparison."""

    def prepared(self, config: TrainingConfig, num_arms: int, folder: Path) -> None:
        """Handle the start of a comparison, before its runs."""

    def run_started(self, arm: str, seed: int, step: int) -> None:
        """Handle the start of a run of an arm with a seed, from a step."""

    def stepped(self, step: int, loss: float | None) -> None:
        """Handle the end of a step; `loss` is None except every few steps."""

    def evaluated(self, arm: str, seed: int, evaluation: Evaluation) -> None:
        """Handle an evaluation, which is already recorded."""

    def seed_added(self, seeds: int) -> None:
        """Handle the addition of a seed, since not every comparison is settled."""

    def note(self, text: str) -> None:
        """Handle a message for the user, such as about a skipped image."""


class NullObserver:
    """Observer of a run or comparison that ignores all events."""

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *told: None


def as_line(arm: str, seed: int, evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as a line of `metrics.jsonl`."""
    values = {k: v for k, v in asdict(evaluation).items() if k != "test_accuracy" or v is not None}
    return {"arm": arm, "seed": seed, **values}
