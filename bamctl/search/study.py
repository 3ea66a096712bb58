"""The study of a search: Optuna keeps the trials, and each candidate ends in it once.

A trial that was lost with its driver is failed and its candidate queued again, so any number of
drivers may share a study, and each may be killed at any time.
"""

import json
import time
import warnings
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna import Study as OptunaStudy
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from bamctl.errors import InputError
from bamctl.search.config import SearchConfig
from bamctl.search.costs import Costs
from bamctl.search.goals import parse_goal
from bamctl.search.sampler import QUEUED, Proposals, candidate
from bamctl.search.storage import BEAT_SECONDS, patiently
from bamctl.training.config import difference

_IDENTITY = "bamctl"
REASON = "reason"
OVER_BUDGET = "over budget"
# Reasons that concern nobody but drivers that asked at the same time.
TWICE, SURPLUS = "tried twice", "more than were asked for"
RACES = (TWICE, SURPLUS)
# A trial that may be new or not; without a reason, its candidate is queued again.
_UNSURE = "unsure"
_SECOND_TRIES = 3
# A driver writes the parameters of a trial that it took within so long; after the second, it is
# taken for dead.
_WRITING_SECONDS, _LOST_SECONDS = 1.0, 8.0


@dataclass(frozen=True)
class Asked:
    """A trial to run: a candidate by its codes. `name` is that of a strategy that is always one."""

    number: int
    codes: tuple[int, ...]
    name: str | None = None


class Study:
    """The trials of a search, in a storage that others may use, too.

    Args:
        config: the search.
        costs: its space and budgets.
        storage: the database.
        alone: whether nobody else uses the study, so that what seems to run there is dead.

    Raises:
        InputError: a study of that name is there, and is one of another search.
        BamctlError: the storage did not answer.
    """

    def __init__(
        self, config: SearchConfig, costs: Costs, storage: RDBStorage, *, alone: bool
    ) -> None:
        self._config, self._costs, self._space = config, costs, costs.space
        self._storage, self._alone = storage, alone
        self._mine: set[int] = set()
        self._ids: dict[int, int] = {}
        self._unheard: dict[int, float] = {}
        self._last_beat = 0.0
        self._objectives = [costs.goals.index(parse_goal(each)) for each in config.objectives]
        self.optuna = patiently(self._opened)
        patiently(self._queue_references)

    def _opened(self) -> OptunaStudy:
        names = ["accuracy", *self._config.objectives]
        directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * len(self._objectives)]
        try:
            study = optuna.create_study(
                storage=self._storage,
                study_name=self._config.study,
                directions=directions,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(names)
        except DuplicatedStudyError:
            study = optuna.load_study(storage=self._storage, study_name=self._config.study)
        known = study.user_attrs.get(_IDENTITY)
        ours = self._config.identity()
        if known is None and study.get_trials(deepcopy=False):
            raise InputError(
                f"the study {self._config.study!r} is none of bamctl's; name another with --study"
            )
        if known is None:
            study.set_user_attr(_IDENTITY, json.dumps(ours))
        elif other := difference(ours, json.loads(known)):
            # Where nobody else uses the study, it is the configuration beside it that was changed.
            cure = "put config.yaml back" if self._alone else "name another with --study"
            raise InputError(
                f"the study {self._config.study!r} is that of another search: {other}; {cure}"
            )
        return study

    def _queue_references(self) -> None:
        """The baseline and the paper's strategies; one that is over budget is noted, not run."""
        there = {candidate(trial, self._space) for trial in self.trials()}
        for name, codes in self._space.references.items():
            if codes in there:
                continue
            there.add(codes)
            attributes = {QUEUED: list(codes), "name": name}
            if self._costs.fits(codes):
                self.optuna.enqueue_trial(self._space.encode(codes), user_attrs=attributes)
            else:
                self._add_failed(codes, {**attributes, REASON: OVER_BUDGET})

    def _add_failed(self, codes: tuple[int, ...], attributes: Mapping[str, Any]) -> None:
        params = self._space.encode(codes)
        distributions = {
            name: CategoricalDistribution(self._space.choices[name]) for name in params
        }
        self.optuna.add_trial(
            create_trial(
                state=TrialState.FAIL,
                params=params,
                distributions=distributions,  # type: ignore[arg-type]
                user_attrs=dict(attributes),
            )
        )

    def trials(self) -> list[FrozenTrial]:
        """All of them, in the order in which they were asked for."""
        return self.optuna.get_trials(deepcopy=False)

    def next(self) -> Asked | None:
        """The next trial to run; None where none is left to begin, for now."""
        for _ in range(_SECOND_TRIES):
            self._revive()
            if not patiently(self._is_more_wanted):
                return None
            asked = patiently(self._ask)
            if asked is not None:
                self._mine.add(asked.number)
                return asked
        return None

    def is_done(self) -> bool:
        """Whether no trial of anybody's is left to begin or to end."""
        self._revive()
        open_ones = (TrialState.RUNNING, TrialState.WAITING)
        return not any(
            trial.state in open_ones for trial in patiently(self.trials)
        ) and not patiently(self._is_more_wanted)

    def _is_more_wanted(self) -> bool:
        alive = [trial for trial in self.trials() if trial.state != TrialState.FAIL]
        if any(trial.state == TrialState.WAITING for trial in alive):
            return True
        within = self._costs.within
        if within is not None and len(alive) >= len(within):
            tried = {candidate(trial, self._space) for trial in alive}
            if all(row in tried for row in map(tuple, within.tolist())):
                return False
        return len(alive) < self._config.trials

    def _ask(self) -> Asked | None:
        """Take a trial; None of one that somebody else has taken already, or that is too much."""
        count = len(self.trials())
        seed = zlib.crc32(f"{self._config.seed}/{count}".encode())
        self.optuna.sampler = Proposals(self._config.sampler, self._costs, seed)
        with warnings.catch_warnings():
            # That heartbeats are for `optimize`: ours are sent by `beat`.
            warnings.simplefilter("ignore", UserWarning)
            trial = self.optuna.ask()
        try:
            return self._taken(trial)
        except UpdateFinishedTrialError:
            # It took so long that another driver gave it up for lost.
            return None

    def _taken(self, trial: Trial) -> Asked | None:
        self._ids[trial.number] = trial._trial_id
        self._storage.record_heartbeat(trial._trial_id)
        queued = trial.user_attrs.get(QUEUED)
        names = self._space.parameters if queued is None else self._space.encode(queued)
        for name in names:
            trial.suggest_categorical(name, self._space.choices[name])
        codes = self._space.decode(trial.params)
        if reason := self._why_not(trial.number, codes):
            if reason != _UNSURE:
                trial.set_user_attr(REASON, reason)
            self.optuna.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            return None
        return Asked(trial.number, codes, trial.user_attrs.get("name"))

    def _why_not(self, number: int, codes: tuple[int, ...]) -> str | None:
        """Where drivers ask at the same time, the one with the lower number has the trial.

        Its candidate is known only when all its parameters are written, which is waited for.
        """
        waits_until = time.monotonic() + _WRITING_SECONDS
        while True:
            before = [
                candidate(trial, self._space)
                for trial in self.trials()
                if trial.number < number and trial.state != TrialState.FAIL
            ]
            if codes in before:
                return TWICE
            if None not in before:
                break
            if time.monotonic() > waits_until:
                return _UNSURE
            time.sleep(0.05)
        return SURPLUS if len(before) >= self._config.trials else None

    def finish(self, asked: Asked, accuracy: float, told: Mapping[str, Any]) -> None:
        """End a trial with what it found; `told` is kept beside it."""
        added = self._costs.added(np.array([asked.codes]))[0]
        values = [accuracy, *(float(added[i]) for i in self._objectives)]
        for name, value in told.items():
            self.note(asked, name, value)
        tell = partial(self.optuna.tell, asked.number, values, skip_if_finished=True)
        patiently(tell)
        self._mine.discard(asked.number)

    def fail(self, asked: Asked, reason: str) -> None:
        """End a trial that cannot be run."""
        self.note(asked, REASON, reason)
        patiently(
            partial(self.optuna.tell, asked.number, state=TrialState.FAIL, skip_if_finished=True)
        )
        self._mine.discard(asked.number)

    def at_rung(self, asked: Asked, steps: int, accuracy: float) -> np.ndarray:
        """Keep what a trial is worth after some steps, and give all that came as far.

        Returns:
            A row for each, this one's last: one minus the accuracy, and the objectives' costs.
        """
        name = f"accuracy after {steps} steps"
        self.note(asked, name, accuracy)
        rows = [
            (trial.user_attrs[name], candidate(trial, self._space))
            for trial in patiently(self.trials)
            if name in trial.user_attrs
            and trial.state != TrialState.FAIL
            and trial.number != asked.number
        ]
        rows.append((accuracy, asked.codes))
        added = self._costs.added(np.array([codes for _, codes in rows]))[:, self._objectives]
        return np.column_stack([[1 - each for each, _ in rows], added])

    def note(self, asked: Asked, name: str, value: Any) -> None:
        """Keep something beside a trial that runs."""
        set_attribute = partial(
            self._storage.set_trial_user_attr, self._ids[asked.number], name, value
        )
        # It may have been taken for dead, and be somebody else's now.
        with suppress(UpdateFinishedTrialError):
            patiently(set_attribute)

    def beat(self) -> None:
        """Let others know that our trials are alive."""
        if self._alone or time.monotonic() - self._last_beat < BEAT_SECONDS:
            return
        for number in self._mine:
            patiently(partial(self._storage.record_heartbeat, self._ids[number]))
        self._last_beat = time.monotonic()

    def _revive(self) -> None:
        """Fail the trials whose driver is dead, and queue their candidates again."""
        patiently(self._fail_dead)
        patiently(self._queue_lost)

    def _fail_dead(self) -> None:
        running = [
            trial
            for trial in self.trials()
            if trial.state == TrialState.RUNNING and trial.number not in self._mine
        ]
        for trial in running if self._alone else self._unheard_of(running):
            try:
                self.optuna.tell(trial.number, state=TrialState.FAIL)
            except (UpdateFinishedTrialError, ValueError):
                # Somebody else was faster.
                continue

    def _unheard_of(self, running: Collection[FrozenTrial]) -> list[FrozenTrial]:
        """Trials whose driver was last heard of too long ago, or never since they began."""
        if not running:
            return []
        stale = set(self._storage._get_stale_trial_ids(self.optuna._study_id))
        now = time.monotonic()
        numbers = {trial.number for trial in running}
        seen = {n: since for n, since in self._unheard.items() if n in numbers}
        self._unheard = {trial.number: seen.get(trial.number, now) for trial in running}
        return [
            trial
            for trial in running
            if trial._trial_id in stale
            or (
                candidate(trial, self._space) is None
                and now - self._unheard[trial.number] > _LOST_SECONDS
            )
        ]

    def _queue_lost(self) -> None:
        trials = self.trials()
        alive = {
            candidate(trial, self._space) for trial in trials if trial.state != TrialState.FAIL
        }
        for trial in trials:
            codes = candidate(trial, self._space)
            is_lost = trial.state == TrialState.FAIL and REASON not in trial.user_attrs
            if not is_lost or codes is None or codes in alive:
                continue
            alive.add(codes)
            kept = {n: v for n, v in trial.user_attrs.items() if n == "name"}
            attributes = {**kept, QUEUED: list(codes)}
            self.optuna.enqueue_trial(self._space.encode(codes), user_attrs=attributes)
