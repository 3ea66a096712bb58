"""The loop of a search: ask the study for trials, run them on the engine, tell the results."""

import math
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from statistics import mean
from typing import Protocol

from bamctl.engines.engine import ACCIDENT, MOST_ACCIDENTS, Engine
from bamctl.errors import BamctlError
from bamctl.nas._halving import goes_on
from bamctl.nas._space import Space
from bamctl.nas._trials import Asked
from bamctl.nas.config import SearchConfig
from bamctl.nas.jobs import Job, Outcome
from bamctl.nas.study import Study
from bamctl.training.shared_trunks import SharedTrunks

_LOOK_SECONDS = 1.0


class Watcher(Protocol):
    """Observer of a search."""

    def ended(self, number: int, score: float | None) -> None:
        """Handle the end of a trial, with its score unless it failed."""


@dataclass
class _Running:
    """A running trial: its rung, its seconds so far, and how often its process died."""

    asked: Asked
    rung: int = 0
    seconds: float = 0.0
    accidents: int = 0


@dataclass
class Search:
    """A search that is ready to run.

    Args:
        config: the whole configuration.
        space: its candidates.
        study: its trials.
        engine: runs them.
        watcher: its observer.
        trunks: those from which the trials part.
        deadline: no trial is begun after this time of `time.monotonic`.
    """

    config: SearchConfig
    space: Space
    study: Study
    engine: Engine
    watcher: Watcher
    trunks: SharedTrunks
    deadline: float = math.inf
    _pending: "dict[Future[Outcome], _Running]" = field(default_factory=dict)

    def run(self) -> None:
        """Run trials until the requested number have ended, over all drivers.

        Raises:
            BamctlError: the baseline cannot be trained, or the storage did not come back.
        """
        while True:
            self._fill()
            if self._pending:
                done, _ = wait(self._pending, _LOOK_SECONDS, FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: self._pending[each].asked.number):
                    self._take(future, self._pending.pop(future))
            elif self.study.is_done() or self._is_late():
                return
            else:
                # Trials of another driver are running, and may be requeued if it dies.
                time.sleep(_LOOK_SECONDS)
            self.study.beat()

    def _is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def _fill(self) -> None:
        # Submit one more than run, so that no slot waits for the storage. With a single slot, take
        # none before the last has ended, so that the order is reproducible.
        slots = self.engine.slots
        while len(self._pending) < slots + (slots > 1):
            asked = None if self._is_late() else self.study.next()
            if asked is None:
                return
            self._submit(_Running(asked))

    def _submit(self, running: _Running) -> None:
        steps = self.config.steps()[running.rung]
        seeds = tuple(self.config.training.seeds)
        job = Job(self.space.sites(running.asked.codes), steps, seeds, self.trunks.of(seeds))
        self._pending[self.engine.submit(job)] = running

    def _take(self, future: "Future[Outcome]", running: _Running) -> None:
        try:
            outcome = future.result()
        except BrokenProcessPool as error:
            running.accidents += 1
            if running.accidents < MOST_ACCIDENTS:
                self._submit(running)
            else:
                self._fail(running, ACCIDENT, error)
        except BamctlError as error:
            self._fail(running, str(error), error)
        else:
            self._tell(running, outcome)

    def _fail(self, running: _Running, reason: str, error: Exception) -> None:
        self.study.fail(running.asked, reason)
        self.watcher.ended(running.asked.number, None)
        if not any(running.asked.codes):
            raise BamctlError(f"the baseline cannot be trained: {reason}") from error

    def _tell(self, running: _Running, outcome: Outcome) -> None:
        asked, rungs = running.asked, self.config.steps()
        score, steps = mean(outcome.score), rungs[running.rung]
        running.seconds += outcome.seconds
        if running.rung < len(rungs) - 1:
            values = self.study.at_rung(asked, steps, score)
            # Halving must not stop the references.
            if asked.name is not None or goes_on(values, self.config.halving):
                running.rung += 1
                self._submit(running)
                return
        told = {
            "accuracy": list(outcome.score),
            "steps": steps,
            "diverged": outcome.diverged,
            "seconds": round(running.seconds, 3),
        }
        self.study.finish(asked, score, told)
        self.watcher.ended(asked.number, score)
