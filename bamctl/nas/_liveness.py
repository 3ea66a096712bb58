"""Liveness of the drivers of a study: heartbeats, and trials whose driver has died."""

import time
from collections.abc import Collection

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from bamctl.nas._trials import Trials
from bamctl.nas.storage import BEAT_SECONDS, patiently

# After this time without parameters, the driver of a trial is considered dead.
_LOST_SECONDS = 8.0


class Liveness:
    """Heartbeats of this driver, and requeueing of the trials of drivers that died.

    Args:
        trials: the trials.
        alone: whether this is the only driver, so that other running trials are dead.
    """

    def __init__(self, trials: Trials, *, alone: bool) -> None:
        self._trials, self._alone = trials, alone
        self._unheard: dict[int, float] = {}
        self._last_beat = 0.0

    def beat(self) -> None:
        """Send heartbeats, at most once every few seconds."""
        if self._alone or time.monotonic() - self._last_beat < BEAT_SECONDS:
            return
        self._trials.beat()
        self._last_beat = time.monotonic()

    def revive(self) -> None:
        """Requeue the candidates of trials whose driver is dead."""
        patiently(self._fail_dead)
        patiently(self._queue_lost)

    def _fail_dead(self) -> None:
        running = [
            trial
            for trial in self._trials.all()
            if trial.state == TrialState.RUNNING and trial.number not in self._trials.mine
        ]
        for trial in running if self._alone else self._unheard_of(running):
            if self._alone and self._trials.candidate(trial) is not None:
                # It keeps its number, so that the search ends as if it had not been interrupted.
                self._trials.wait_again(trial)
                continue
            try:
                self._trials.study.tell(trial.number, state=TrialState.FAIL)
            except (UpdateFinishedTrialError, ValueError):
                # Another driver was faster.
                continue

    def _unheard_of(self, running: Collection[FrozenTrial]) -> list[FrozenTrial]:
        """Return trials that missed a heartbeat, or whose parameters were never written."""
        if not running:
            return []
        stale = set(self._trials.storage._get_stale_trial_ids(self._trials.study._study_id))
        now = time.monotonic()
        self._unheard = {t.number: self._unheard.get(t.number, now) for t in running}
        return [
            trial
            for trial in running
            if trial._trial_id in stale
            or (
                self._trials.candidate(trial) is None
                and now - self._unheard[trial.number] > _LOST_SECONDS
            )
        ]

    def _queue_lost(self) -> None:
        trials = self._trials.all()
        alive = {self._trials.candidate(t) for t in trials if t.state != TrialState.FAIL}
        for trial in trials:
            if not self._trials.is_lost(trial):
                continue
            codes = self._trials.candidate(trial)
            if codes is not None and codes not in alive:
                alive.add(codes)
                kept = {n: v for n, v in trial.user_attrs.items() if n == "name"}
                self._trials.queue(codes, kept)
