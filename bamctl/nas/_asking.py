"""Requests for the next trial of a study, which other drivers may make concurrently."""

import time
import warnings
import zlib

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from bamctl.nas._sampler import Proposals
from bamctl.nas._trials import CODES, REASON, SURPLUS, TWICE, Asked, Trials
from bamctl.nas.config import SearchConfig
from bamctl.nas.costs import Costs
from bamctl.nas.storage import patiently

# Undecided: another driver has not written its parameters yet. Fail without a reason, so that the
# candidate is requeued.
_UNSURE = "unsure"
# A driver writes the parameters of its trial within this time.
_WRITING_SECONDS = 1.0


class Asking:
    """Source of the next trials of a study.

    Args:
        config: the search.
        costs: its space and budgets.
        trials: the trials so far.
    """

    def __init__(self, config: SearchConfig, costs: Costs, trials: Trials) -> None:
        self._config, self._costs, self._trials = config, costs, trials
        self._space = costs.space

    def is_more_wanted(self) -> bool:
        """Return whether a trial is queued or a new candidate should be proposed."""
        return patiently(self._is_more_wanted)

    def ask(self) -> Asked | None:
        """Take a trial; return None if another driver has taken it, or if it exceeds the limit."""
        asked = patiently(self._ask)
        if asked is not None:
            self._trials.mine.add(asked.number)
        return asked

    def _alive(self) -> list[FrozenTrial]:
        return [trial for trial in self._trials.all() if trial.state != TrialState.FAIL]

    def _is_more_wanted(self) -> bool:
        alive = self._alive()
        if any(trial.state == TrialState.WAITING for trial in alive):
            return True
        within = self._costs.within
        if within is not None and len(alive) >= len(within):
            tried = set(map(self._trials.candidate, alive))
            if all(row in tried for row in map(tuple, within.tolist())):
                return False
        return len(alive) < self._config.trials

    def _ask(self) -> Asked | None:
        study = self._trials.study
        # Trials that were lost and queued again are in the study twice.
        kept = [t for t in self._trials.all() if not self._trials.is_lost(t)]
        seed = zlib.crc32(f"{self._config.seed}/{len(kept)}".encode())
        study.sampler = Proposals(self._config.sampler, self._costs, seed)
        with warnings.catch_warnings():
            # Optuna warns that heartbeats need `optimize`; `Liveness` sends them here.
            warnings.simplefilter("ignore", UserWarning)
            trial = study.ask()
        try:
            return self._taken(trial)
        except UpdateFinishedTrialError:
            # Another driver has considered this trial lost, since it took too long.
            return None

    def _taken(self, trial: Trial) -> Asked | None:
        self._trials.own(trial.number, trial._trial_id)
        codes = self._codes(trial)
        reason = self._why_not(trial.number, codes)
        if reason is None:
            return Asked(trial.number, codes, trial.user_attrs.get("name"))
        if reason != _UNSURE:
            trial.set_user_attr(REASON, reason)
        self._trials.end(trial.number, None)
        return None

    def _codes(self, trial: Trial) -> tuple[int, ...]:
        """Write the parameters of a trial, and the codes of its candidate."""
        queued = trial.user_attrs.get(CODES)
        names = self._space.parameters if queued is None else self._space.encode(queued)
        for name in names:
            trial.suggest_categorical(name, self._space.choices[name])
        codes = self._space.decode(trial.params)
        if queued is None:
            trial.set_user_attr(CODES, list(codes))
        return codes

    def _why_not(self, number: int, codes: tuple[int, ...]) -> str | None:
        """Return why a trial must not run, or None; of drivers that ask at once, the first wins.

        Waits for the parameters of other trials, which define their candidates.
        """
        waits_until = time.monotonic() + _WRITING_SECONDS
        while True:
            before = [self._trials.candidate(t) for t in self._alive() if t.number < number]
            if codes in before:
                return TWICE
            if None not in before:
                return SURPLUS if len(before) >= self._config.trials else None
            if time.monotonic() > waits_until:
                return _UNSURE
            time.sleep(0.05)
