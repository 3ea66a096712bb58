"""What a person sees of work that takes long: bars on a terminal, nothing in a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from bamctl.cli.options.shared import say
from bamctl.text import escapes

if TYPE_CHECKING:
    from bamctl.training.config import TrainingConfig
    from bamctl.training.watching import Evaluation


def _bars(*columns: ProgressColumn) -> Progress:
    """Bars on standard error, on a terminal, with the time that is left at their end."""
    return Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=sys.stderr is None or not sys.stderr.isatty(),
        transient=True,
    )


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, on a terminal; gives what moves it on by one."""
    with _bars(
        TextColumn("{task.description}", markup=False), BarColumn(12), TaskProgressColumn()
    ) as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


class Bars:
    """A bar for all runs and one for the steps of a run, on standard error.

    Args:
        config: the comparison.
        num_arms: how many networks it has.
        board: the folder for TensorBoard, if it is wanted.
    """

    def __init__(self, config: "TrainingConfig", num_arms: int, board: Path | None = None) -> None:
        self._batch_size = config.recipe.batch_size
        self._steps = config.recipe.steps
        self._num_seeds = len(config.seeds)
        self._board = board
        self._bars = _bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(12),
            TaskProgressColumn(),
            TextColumn("{task.fields[told]}", markup=False),
        )
        total = self._steps * num_arms * self._num_seeds
        self._all = self._bars.add_task("all runs", total=total, told="")
        self._run = self._bars.add_task("", total=self._steps, told="")
        self._accuracy = ""
        self._done = 0
        self._started = (0, perf_counter())

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def run_started(self, arm: str, seed: int, step: int) -> None:
        """An arm is trained with a seed, from a step on."""
        self._accuracy = ""
        self._done = step
        self._started = (step, perf_counter())
        self._bars.reset(
            self._run, completed=step, description=escapes.line(f"{arm}, seed {seed}"), told=""
        )
        self._bars.advance(self._all, step)

    def stepped(self, step: int, loss: float | None) -> None:
        """A step is done, the loss being known every few steps."""
        self._bars.advance(self._all, step - self._done)
        self._done = step
        self._bars.update(self._run, completed=step)
        if loss is not None:
            first, since = self._started
            speed = (step - first) * self._batch_size / max(perf_counter() - since, 1e-9)
            told = f"loss {loss:.3f}{self._accuracy}  {speed:,.0f} images/s"
            self._bars.update(self._run, told=told)

    def evaluated(self, arm: str, seed: int, evaluation: "Evaluation") -> None:
        """An evaluation is done, and written down."""
        self._accuracy = f"  accuracy {100 * evaluation.accuracy:.1f} %"
        if self._board is not None:
            _write(self._board / f"{arm}.seed-{seed}".replace(":", "."), evaluation)
        if evaluation.diverged:
            self.note(f"{arm}, seed {seed}: diverged at step {evaluation.step}, and was stopped")

    def note(self, text: str) -> None:
        """Something that a person should know."""
        say(f"note: {text}")


def _write(folder: Path, evaluation: "Evaluation") -> None:
    """An evaluation for TensorBoard, which shows a folder as a curve."""
    from torch.utils.tensorboard import SummaryWriter

    values = {
        "accuracy/held-out": evaluation.accuracy,
        "loss/held-out": evaluation.loss,
        "loss/train": evaluation.train_loss,
        "lr": evaluation.lr,
    }
    with SummaryWriter(folder) as writer:
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, evaluation.step)


class TrialBar:
    """A bar for the trials of a search, on standard error."""

    def __init__(self, trials: int) -> None:
        self._bars = _bars(
            TextColumn("trials"),
            BarColumn(24),
            TaskProgressColumn(),
            TextColumn("{task.fields[told]}", markup=False),
        )
        self._all = self._bars.add_task("trials", total=trials, told="")
        self._best = 0.0

    def __enter__(self) -> "TrialBar":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def ended(self, number: int, accuracy: float | None) -> None:
        """A trial has ended, with its accuracy if it has one."""
        self._best = max(self._best, accuracy or 0.0)
        self._bars.update(self._all, advance=1, told=f"best {100 * self._best:.2f} %")
        if accuracy is None:
            say(f"note: trial {number} could not be run; the report says why")
