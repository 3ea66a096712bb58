"""The study of a search: Optuna stores the trials, and each candidate completes once.

A trial whose driver died is requeued, so any number of drivers may share a study, and each may be
killed at any time.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from optuna import Study as OptunaStudy
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from bamctl.nas._asking import Asking
from bamctl.nas._liveness import Liveness
from bamctl.nas._opening import open_study, queue_references
from bamctl.nas._trials import REASON, Asked, Trials
from bamctl.nas.config import SearchConfig
from bamctl.nas.costs import Costs
from bamctl.nas.goals import parse_goal
from bamctl.nas.storage import patiently

_SECOND_TRIES = 3
_OPEN = (TrialState.RUNNING, TrialState.WAITING)


class Study:
    """The trials of a search, in a storage that drivers may share.

    Args:
        config: the search.
        costs: its space and budgets.
        storage: the database.
        alone: whether this is the only driver, so that other running trials are dead.

    Raises:
        InputError: a study of that name exists, and belongs to another search.
        BamctlError: the storage did not answer.
    """

    def __init__(
        self, config: SearchConfig, costs: Costs, storage: RDBStorage, *, alone: bool
    ) -> None:
        self._costs = costs
        self._objectives = [costs.goals.index(parse_goal(each)) for each in config.objectives]
        study = patiently(partial(open_study, config, storage, alone=alone))
        self._trials = Trials(study, storage, costs.space)
        self._liveness = Liveness(self._trials, alone=alone)
        self._asking = Asking(config, costs, self._trials)
        patiently(partial(queue_references, self._trials, costs))

    @property
    def optuna(self) -> OptunaStudy:
        """Optuna's study."""
        return self._trials.study

    def trials(self) -> list[FrozenTrial]:
        """Return all trials, in the order in which they were created."""
        return self._trials.all()

    def next(self) -> Asked | None:
        """Return the next trial to run, or None if there is none at present."""
        for _ in range(_SECOND_TRIES):
            self._liveness.revive()
            if not self._asking.is_more_wanted():
                return None
            if asked := self._asking.ask():
                return asked
        return None

    def is_done(self) -> bool:
        """Return whether all trials of all drivers have ended and none is left to start."""
        self._liveness.revive()
        if any(trial.state in _OPEN for trial in patiently(self.trials)):
            return False
        return not self._asking.is_more_wanted()

    def finish(self, asked: Asked, score: float, told: Mapping[str, Any]) -> None:
        """Complete a trial with its values; `told` is stored as its attributes."""
        added = self._costs.added(np.array([asked.codes]))[0]
        for name, value in told.items():
            self._trials.note(asked.number, name, value)
        values = [score, *(float(added[i]) for i in self._objectives)]
        self._trials.end(asked.number, values)

    def fail(self, asked: Asked, reason: str) -> None:
        """Fail a trial that cannot be run, with the reason."""
        self._trials.note(asked.number, REASON, reason)
        self._trials.end(asked.number, None)

    def at_rung(self, asked: Asked, steps: int, score: float) -> np.ndarray:
        """Record the values of a trial at a rung, and return those of all trials that reached it.

        Returns:
            A row for each, this trial's last: one minus the score, and the objectives' costs.
        """
        name = f"accuracy after {steps} steps"
        self._trials.note(asked.number, name, score)
        rows = [
            (trial.user_attrs[name], self._trials.candidate(trial))
            for trial in patiently(self.trials)
            if name in trial.user_attrs
            and trial.state != TrialState.FAIL
            and trial.number != asked.number
        ]
        rows.append((score, asked.codes))
        added = self._costs.added(np.array([codes for _, codes in rows]))[:, self._objectives]
        return np.column_stack([[1 - each for each, _ in rows], added])

    def beat(self) -> None:
        """Send heartbeats for the trials of this driver."""
        self._liveness.beat()
