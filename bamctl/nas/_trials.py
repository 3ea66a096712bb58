"""The trials of a study in Optuna's storage, and the candidate that each one is."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from optuna import Study as OptunaStudy
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from bamctl.nas._space import Space
from bamctl.nas.storage import patiently

# The attribute of a trial with the codes of its candidate. A queued trial has it from the start,
# others as soon as their parameters are written.
CODES = "codes"
REASON = "reason"
OVER_BUDGET = "over budget"
# Reasons that only concern drivers that ask at the same time; not reported to the user.
TWICE, SURPLUS = "tried twice", "more than were asked for"
RACES = (TWICE, SURPLUS)


@dataclass(frozen=True)
class Asked:
    """A trial to run, with the codes of its candidate; `name` is that of a reference, if any."""

    number: int
    codes: tuple[int, ...]
    name: str | None = None


def candidate(trial: FrozenTrial, space: Space) -> tuple[int, ...] | None:
    """Return the candidate of a trial; None if it ended before all parameters were written."""
    if CODES in trial.user_attrs:
        return tuple(trial.user_attrs[CODES])
    # Trials of versions that did not write codes.
    is_whole = all(name in trial.params for name in space.parameters)
    return space.decode(trial.params) if is_whole else None


class Trials:
    """The trials of a study, those of this driver among them.

    Args:
        study: Optuna's study.
        storage: its database.
        space: the candidates.
    """

    def __init__(self, study: OptunaStudy, storage: RDBStorage, space: Space) -> None:
        self.study, self.storage, self.space = study, storage, space
        self.mine: set[int] = set()
        self._ids: dict[int, int] = {}

    def all(self) -> list[FrozenTrial]:
        """Return all trials, in the order in which they were created."""
        return self.study.get_trials(deepcopy=False)

    @staticmethod
    def is_lost(trial: FrozenTrial) -> bool:
        """Return whether a trial failed because its driver died, not for a recorded reason."""
        return trial.state == TrialState.FAIL and REASON not in trial.user_attrs

    def candidate(self, trial: FrozenTrial) -> tuple[int, ...] | None:
        """Return the candidate of a trial; None if it ended before all parameters were written."""
        return candidate(trial, self.space)

    def queue(self, codes: Sequence[int], attributes: Mapping[str, Any]) -> None:
        """Queue a trial, which the next driver takes."""
        attributes = {**attributes, CODES: list(codes)}
        self.study.enqueue_trial(self.space.encode(codes), user_attrs=attributes)

    def wait_again(self, trial: FrozenTrial) -> None:
        """Requeue a running trial that no driver runs."""
        self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def add_failed(self, codes: Sequence[int], attributes: Mapping[str, Any]) -> None:
        """Add a trial that is never run."""
        params = self.space.encode(codes)
        distributions = {name: CategoricalDistribution(self.space.choices[name]) for name in params}
        self.study.add_trial(
            create_trial(
                state=TrialState.FAIL,
                params=params,
                distributions=distributions,  # type: ignore[arg-type]
                user_attrs={**attributes, CODES: list(codes)},
            )
        )

    def own(self, number: int, identity: int) -> None:
        """Send a first heartbeat for a trial that this driver has taken."""
        self._ids[number] = identity
        self.storage.record_heartbeat(identity)

    def beat(self) -> None:
        """Send heartbeats for the trials of this driver."""
        for number in self.mine:
            patiently(partial(self.storage.record_heartbeat, self._ids[number]))

    def note(self, number: int, name: str, value: Any) -> None:
        """Set an attribute of a running trial."""
        write = partial(self.storage.set_trial_user_attr, self._ids[number], name, value)
        # Another driver may have considered it lost and rerun it.
        with suppress(UpdateFinishedTrialError):
            patiently(write)

    def end(self, number: int, values: Sequence[float] | None) -> None:
        """End a trial of this driver with its values; without values, mark it as failed."""
        state = TrialState.FAIL if values is None else None
        patiently(partial(self.study.tell, number, values, state, skip_if_finished=True))
        self.mine.discard(number)
