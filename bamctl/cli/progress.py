"""Progress of long work: bars on a terminal, nothing in a pipe."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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

from bamctl.cli.messages import say, working
from bamctl.text import escapes, masking

if TYPE_CHECKING:
    from bamctl.nas.folder import SearchFolder
    from bamctl.nas.setup import SearchSetup
    from bamctl.training.config import TrainingConfig
    from bamctl.training.watching import Evaluation


def _bars(*columns: ProgressColumn) -> Progress:
    """Return bars on standard error, on a terminal, with the remaining time."""
    return Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=sys.stderr is None or not sys.stderr.isatty(),
        transient=True,
    )


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on standard error, on a terminal; yield a function that advances it by one."""
    with _bars(
        TextColumn("{task.description}", markup=False), BarColumn(12), TaskProgressColumn()
    ) as bars:
        task = bars.add_task(what, total=total)
        yield lambda: bars.advance(task)


class Bars:
    """Observer of a comparison: a bar for all runs and one for the steps of a run.

    Args:
        with_board: whether to write for TensorBoard, in the folder of the comparison.
    """

    def __init__(self, *, with_board: bool = False) -> None:
        self._with_board = with_board
        self._bars = _bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(12),
            TaskProgressColumn(),
            TextColumn("{task.fields[told]}", markup=False),
        )
        self._shown = ExitStack()
        self._told = ""
        self._done = 0
        self._started = (0, perf_counter())
        self._resume: str | None = None

    def __enter__(self) -> "Bars":
        self._shown.enter_context(working("preparing the comparison"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._shown.close()
        if kind is KeyboardInterrupt and self._resume is not None:
            say(f"resume with `{self._resume}`")

    def prepared(self, config: "TrainingConfig", num_arms: int, folder: Path) -> None:
        """Show the bars: the comparison is ready, and its runs begin."""
        self._shown.close()
        self._resume = f"bamctl train --resume {folder}{config.trust_flags(folder)}"
        self._board = folder / "tensorboard" if self._with_board else None
        self._batch_size = config.recipe.batch_size
        self._measure = config.measure
        steps = config.recipe.steps
        self._steps_of_seed = steps * num_arms
        total = self._steps_of_seed * len(config.seeds)
        self._all = self._bars.add_task("all runs", total=total, told="")
        self._run = self._bars.add_task("", total=steps, told="")
        self._shown.enter_context(self._bars)

    def seed_added(self, seeds: int) -> None:
        """Extend the bar of all runs by a seed."""
        self._bars.update(self._all, total=self._steps_of_seed * seeds)

    def run_started(self, arm: str, seed: int, step: int) -> None:
        """Start the bar of a run: an arm is trained with a seed, from a step on."""
        self._told = ""
        self._done = step
        self._started = (step, perf_counter())
        self._bars.reset(
            self._run, completed=step, description=escapes.line(f"{arm}, seed {seed}"), told=""
        )
        self._bars.advance(self._all, step)

    def stepped(self, step: int, loss: float | None) -> None:
        """Advance the bars by a step; the loss is known every few steps."""
        self._bars.advance(self._all, step - self._done)
        self._done = step
        self._bars.update(self._run, completed=step)
        if loss is not None:
            first, since = self._started
            speed = (step - first) * self._batch_size / max(perf_counter() - since, 1e-9)
            told = f"loss {loss:.3f}{self._told}  {speed:,.0f} images/s"
            self._bars.update(self._run, told=told)

    def evaluated(self, arm: str, seed: int, evaluation: "Evaluation") -> None:
        """Record an evaluation."""
        self._told = f"  {self._measure.title} {self._measure.text(evaluation.value)}"
        if self._board is not None:
            _write(
                self._board / f"{arm}.seed-{seed}".replace(":", "."), self._measure.name, evaluation
            )
        if evaluation.diverged:
            self.note(f"{arm}, seed {seed}: diverged at step {evaluation.step}; stopped")

    def note(self, text: str) -> None:
        """Print a message for the user."""
        say(f"note: {text}")


def _write(folder: Path, measure: str, evaluation: "Evaluation") -> None:
    """Write an evaluation for TensorBoard, which shows a folder as a curve."""
    from torch.utils.tensorboard import SummaryWriter

    values = {
        f"{measure}/held-out": evaluation.value,
        "loss/held-out": evaluation.loss,
        "loss/train": evaluation.train_loss,
        "lr": evaluation.lr,
    }
    with SummaryWriter(folder) as writer:
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, evaluation.step)


class TrialBar:
    """Observer of a search: a bar for its trials, and messages, on standard error."""

    def __init__(self) -> None:
        self._bars = _bars(
            TextColumn("trials"),
            BarColumn(24),
            TaskProgressColumn(),
            TextColumn("{task.fields[told]}", markup=False),
        )
        self._shown = ExitStack()
        self._best: float | None = None
        self._resume: str | None = None

    def __enter__(self) -> "TrialBar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._shown.close()
        if kind is KeyboardInterrupt and self._resume is not None:
            say(f"resume with `{self._resume}`")

    def prepared(self, setup: "SearchSetup", folder: "SearchFolder", storage: str) -> None:
        """Show the bar: the study is open, and its trials begin."""
        from bamctl.report.formats.formats import FORMATS
        from bamctl.report.views.search_plan import plan_report

        flag = setup.config.training.trust_flags(folder.path)
        self._resume = f"bamctl search --resume {folder.path}{flag}"
        if secret := folder.password_file:
            say(f"the password of --storage is kept in {secret} (mode 0600), which --resume needs")
        sys.stderr.write(FORMATS["table"].render(plan_report(setup), to_file=True) + "\n")
        say(f"`optuna-dashboard {shlex.quote(masking.url(storage))}` shows the study as it grows")
        self._measure = setup.config.training.measure
        self._all = self._bars.add_task("trials", total=setup.config.trials, told="")
        self._shown.enter_context(self._bars)

    def ended(self, number: int, score: float | None) -> None:
        """Advance the bar: a trial has ended, with its score unless it failed."""
        if score is None:
            self._bars.update(self._all, advance=1)
            self.note(f"trial {number} failed; the report has the reason")
            return
        self._best = score if self._best is None else max(self._best, score)
        best = self._measure.text(self._measure.goodness(self._best))
        self._bars.update(self._all, advance=1, told=f"best {best}")

    def racing(self, steps: int) -> None:
        """Report that candidates that are not ruled out get more seeds."""
        self._shown.close()
        what = f"giving more seeds to what may be on the front: up to {steps:,} steps"
        self._shown.enter_context(working(what))

    def confirming(self, num_placements: int, num_seeds: int) -> None:
        """Report that the members of the front are now trained with fresh seeds."""
        self._shown.close()
        what = f"confirming {num_placements} placements with {num_seeds} fresh seeds"
        self._shown.enter_context(working(what))

    def note(self, text: str) -> None:
        """Print a message for the user."""
        say(f"note: {text}")
