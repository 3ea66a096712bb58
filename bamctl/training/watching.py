"""Events of a training run, and the observers that receive them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from bamctl.training._state import State
from bamctl.training.config import TrainingConfig


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of a network after some steps.

    `train_loss` is the mean since the last evaluation; it and `loss` are None if not finite.
    `value` is the task's measure of the held-out samples, such as the top-1 accuracy; if the
    network has `diverged` it is that of guessing. `test_value` is measured at the end, if
    requested. A loop of the user's own reports neither images nor learning rate.
    """

    step: int
    images: int | None
    lr: float | None
    train_loss: float | None
    loss: float | None
    value: float
    diverged: bool = False
    test_value: float | None = None


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


def as_line(arm: str, seed: int, evaluation: Evaluation, measure: str) -> dict[str, Any]:
    """Return an evaluation as a line of `metrics.jsonl`, with the measure by its name."""
    names = {"value": measure, "test_value": key_of_test(measure)}
    values = {names.get(k, k): v for k, v in asdict(evaluation).items()}
    if evaluation.test_value is None:
        del values[key_of_test(measure)]
    return {"arm": arm, "seed": seed, **values}


def of_line(line: Mapping[str, Any], measure: str) -> Evaluation:
    """Return the evaluation of a line of `metrics.jsonl`."""
    names = {measure: "value", key_of_test(measure): "test_value"}
    values = {names.get(k, k): v for k, v in line.items() if k not in ("arm", "seed")}
    return Evaluation(**values)


def key_of_test(measure: str) -> str:
    """Return the key of a measure of the test split."""
    return f"test_{measure}"
