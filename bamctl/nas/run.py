"""The loop of a search: asks the study for trials, has the engine run them, and tells."""

import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from statistics import mean
from typing import Protocol

from bamctl.errors import BamctlError
from bamctl.nas._halving import goes_on
from bamctl.nas._space import Space
from bamctl.nas._trials import Asked
from bamctl.nas.config import SearchConfig
from bamctl.nas.engines import ACCIDENT, MOST_ACCIDENTS, Engine, Job, Outcome
from bamctl.nas.study import Study

_LOOK_SECONDS = 1.0


class Watcher(Protocol):
    """Observer of a search."""

    def ended(self, number: int, accuracy: float | None) -> None:
        """A trial has ended, with its accuracy if it has one."""


@dataclass
class _Running:
    """A trial on its way: the rung that it is on, what it has taken, and how often it was lost."""

    asked: Asked
    rung: int = 0
    seconds: float = 0.0
    accidents: int = 0


@dataclass
class Search:
    """A search that is ready to run.

    Args:
        config: all of it.
        space: its candidates.
        study: its trials.
        engine: what runs them.
        watcher: who follows it.
    """

    config: SearchConfig
    space: Space
    study: Study
    engine: Engine
    watcher: Watcher
    _pending: "dict[Future[Outcome], _Running]" = field(default_factory=dict)

    def run(self) -> None:
        """Run trials until as many have ended as were asked for, by whomever.

        Raises:
            BamctlError: the baseline cannot be trained, or the storage did not come back.
        """
        while True:
            self._fill()
            if self._pending:
                done, _ = wait(self._pending, _LOOK_SECONDS, FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: self._pending[each].asked.number):
                    self._take(future, self._pending.pop(future))
            elif self.study.is_done():
                return
            else:
                # Another driver's trials are not over, and may become ours.
                time.sleep(_LOOK_SECONDS)
            self.study.beat()

    def _fill(self) -> None:
        # One more than run, so that none waits for the storage. With a single slot, none is asked
        # for before the one before it has ended, so that the order is always the same.
        slots = self.engine.slots
        while len(self._pending) < slots + (slots > 1):
            asked = self.study.next()
            if asked is None:
                return
            self._submit(_Running(asked))

    def _submit(self, running: _Running) -> None:
        steps = self.config.steps()[running.rung]
        seeds = tuple(self.config.training.seeds)
        job = Job(self.space.sites(running.asked.codes), steps, seeds)
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
        accuracy, steps = mean(outcome.accuracy), rungs[running.rung]
        running.seconds += outcome.seconds
        if running.rung < len(rungs) - 1:
            values = self.study.at_rung(asked, steps, accuracy)
            # What everything is compared with must not be cut short.
            if asked.name is not None or goes_on(values, self.config.halving):
                running.rung += 1
                self._submit(running)
                return
        told = {
            "accuracy": list(outcome.accuracy),
            "steps": steps,
            "diverged": outcome.diverged,
            "seconds": round(running.seconds, 3),
        }
        self.study.finish(asked, accuracy, told)
        self.watcher.ended(asked.number, accuracy)
