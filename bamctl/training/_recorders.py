"""Observers of a run that record it in the folder of its comparison."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bamctl.data.images import left_out
from bamctl.errors import BamctlError
from bamctl.training._standing import Origin
from bamctl.training._state import State
from bamctl.training.run_folder import RunFolder
from bamctl.training.watching import Evaluation, NullObserver, Progress, Watcher, as_line


@dataclass(frozen=True)
class Recorder(Watcher):
    """Observer that records a run in its folder."""

    folder: RunFolder
    origin: Origin
    progress: Progress
    told: set[str]
    snapshot: Callable[[int], None]

    def stepped(self, step: int, loss: float | None) -> None:
        self.progress.stepped(step, loss)

    def evaluated(self, evaluation: Evaluation) -> None:
        self.snapshot(evaluation.step)
        arm, seed = self.origin.arm, self.origin.seed
        self.folder.metrics.append(as_line(arm, seed, evaluation))
        self.progress.evaluated(arm, seed, evaluation)

    def keep(self, step: int, state: Callable[[], State]) -> None:
        arm, seed = self.origin.arm, self.origin.seed

        def named() -> State:
            receipt = self.origin.receipt(self.folder.evaluations(arm, seed))
            found = state()
            return replace(found, values={**found.values, "run": receipt})

        try:
            self.folder.save_state(arm, seed, step, named)
        except BamctlError as error:
            self.progress.note(
                f"checkpoint at step {step} not saved: {error}; the previous one is kept"
            )

    def skipped(self, files: tuple[str, ...]) -> None:
        _report_skipped(files, self.told, self.progress)


@dataclass(frozen=True)
class TrunkRecorder(NullObserver):
    """Observer that keeps the states of a trunk, which is not evaluated."""

    folder: RunFolder
    origin: Origin
    progress: Progress
    told: set[str]

    def stepped(self, step: int, loss: float | None) -> None:
        self.progress.stepped(step, loss)

    def keep(self, step: int, state: Callable[[], State]) -> None:
        try:
            seed = self.origin.seed
            self.folder.save_state(None, seed, step, lambda: sealed(state(), self.origin))
        except BamctlError as error:
            self.progress.note(
                f"checkpoint at step {step} not saved: {error}; the previous one is kept"
            )

    def skipped(self, files: tuple[str, ...]) -> None:
        _report_skipped(files, self.told, self.progress)


def _report_skipped(files: tuple[str, ...], told: set[str], progress: Progress) -> None:
    # Every epoch encounters them again.
    new = tuple(file for file in files if file not in told)
    told.update(new)
    if new:
        progress.note(left_out(new))


def sealed(state: State, origin: Origin) -> State:
    return replace(state, values={**state.values, "run": origin.receipt([])})
