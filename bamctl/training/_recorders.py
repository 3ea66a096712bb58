"""Observers of a run that record it in the folder of its comparison."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bamctl.data.images import left_out
from bamctl.errors import BamctlError
from bamctl.training._standing import Origin
from bamctl.training._state import State
from bamctl.training.json_lines import Line
from bamctl.training.run_folder import RunFolder
from bamctl.training.watching import Evaluation, NullObserver, Progress, as_line


@dataclass(frozen=True)
class TrunkRecorder(NullObserver):
    """Observer that keeps the states of a trunk, which is not evaluated."""

    folder: RunFolder
    origin: Origin
    progress: Progress
    told: set[str]

    @property
    def arm(self) -> str | None:
        """The arm whose states are kept; None for a trunk."""
        return None

    def sealed(self, state: State) -> State:
        """Return a state with the receipt of the run so far."""
        return sealed(state, self.origin)

    def stepped(self, step: int, loss: float | None) -> None:
        self.progress.stepped(step, loss)

    def keep(self, step: int, state: Callable[[], State]) -> None:
        try:
            self.folder.save_state(self.arm, self.origin.seed, step, lambda: self.sealed(state()))
        except BamctlError as error:
            self.progress.note(
                f"checkpoint at step {step} not saved: {error}; the previous one is kept"
            )

    def skipped(self, files: tuple[str, ...]) -> None:
        # Every epoch encounters them again.
        new = tuple(file for file in files if file not in self.told)
        self.told.update(new)
        if new:
            self.progress.note(left_out(new))


@dataclass(frozen=True)
class Recorder(TrunkRecorder):
    """Observer that also records the evaluations of a run in its folder."""

    snapshot: Callable[[int], None]

    @property
    def arm(self) -> str:
        """The arm of the run."""
        return self.origin.arm

    def sealed(self, state: State) -> State:
        """Return a state with the receipt of the run so far."""
        return sealed(state, self.origin, self.folder.evaluations(self.arm, self.origin.seed))

    def evaluated(self, evaluation: Evaluation) -> None:
        self.snapshot(evaluation.step)
        line = as_line(self.arm, self.origin.seed, evaluation, self.origin.measure)
        self.folder.metrics.append(line)
        self.progress.evaluated(self.arm, self.origin.seed, evaluation)


def sealed(state: State, origin: Origin, evaluations: Sequence[Line] = ()) -> State:
    """Return a state with the receipt of its run after some evaluations."""
    return replace(state, values={**state.values, "run": origin.receipt(evaluations)})
