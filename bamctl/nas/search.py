"""`search`: find the placements that are most accurate within a budget."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bamctl.engines.engine import Engine
from bamctl.engines.engines import ENGINES
from bamctl.nas import folder as folders
from bamctl.nas.confirm import confirm
from bamctl.nas.folder import SearchFolder
from bamctl.nas.objective import Objective
from bamctl.nas.plan import plan
from bamctl.nas.race import race
from bamctl.nas.records import Records
from bamctl.nas.result import (
    SearchResult,
    after_race,
    gather,
    standings,
    with_evidence,
    write_front,
)
from bamctl.nas.run import Search
from bamctl.nas.setup import SearchSetup
from bamctl.nas.storage import open_storage
from bamctl.nas.study import Study
from bamctl.training.config import TrainingConfig
from bamctl.training.shared_trunks import SharedTrunks

# Far from the seeds of trials and of the confirmation, which chooses nothing.
_RACED_FROM = 10_000


class SearchProgress(Protocol):
    """Observer of a search."""

    def prepared(self, setup: SearchSetup, folder: SearchFolder, storage: str) -> None:
        """Handle the opening of the study, before its trials begin."""

    def ended(self, number: int, score: float | None) -> None:
        """Handle the end of a trial, with its score unless it failed."""

    def racing(self, steps: int) -> None:
        """Handle the start of the race, with the steps that the trials leave."""

    def confirming(self, num_placements: int, num_seeds: int) -> None:
        """Handle the start of the confirmation of the front on fresh seeds."""

    def note(self, text: str) -> None:
        """Handle a message for the user."""


class SilentProgress:
    """Observer that shows nothing."""

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *told: None


def search(
    model: str | SearchSetup | None = None,
    *,
    engine: str = "local",
    workers: int | None = None,
    cpus_per_trial: int = 1,
    gpus_per_trial: float = 0.0,
    address: str = "auto",
    resume: str | Path | None = None,
    out: str | Path | None = None,
    progress: SearchProgress | None = None,
    **planned: Any,
) -> SearchResult:
    """Search for the best placements within a budget.

    Trials are trained in processes that are started for them, so that a script needs the usual `if
    __name__ == "__main__":`.

    Args:
        model: the network, as for `plan`, or what `plan` returned.
        engine: `local` for processes of this machine, or `ray` for a Ray cluster.
        workers: trials at a time; as many as there is room for if left out.
        cpus_per_trial: threads of a trial.
        gpus_per_trial: with Ray, GPUs of a trial, such as 0.5.
        address: of the Ray cluster, `auto` or `HOST:PORT`.
        resume: the folder of a search to resume.
        out: the folder of the search, which must not exist; `runs/MODEL-search-TIME` if left out.
        progress: receives events while it runs.
        planned: further arguments of `plan`, such as `budget` and `trials`.

    Raises:
        InputError: an argument is invalid, or no candidate is within the budgets.
        BamctlError: the folder, the storage or the cluster cannot be used any more.
    """
    progress = progress or SilentProgress()
    if not isinstance(model, SearchSetup):
        model = plan(model, resume=resume, **planned)
    setup = model
    folder = _folder(setup, resume, out)
    try:
        url = folder.storage(setup.config)
        study = Study(
            setup.config, setup.costs, open_storage(url), alone=setup.config.storage is None
        )
        evaluate = Objective(setup.config.training, setup.data, cpus_per_trial)
        running = ENGINES[engine](evaluate, workers, cpus_per_trial, gpus_per_trial, address)
        try:
            progress.prepared(setup, folder, url)
            return _Phases(setup, study, running, folder, progress).run()
        finally:
            running.close()
    finally:
        folder.close()


def _folder(setup: SearchSetup, resume: str | Path | None, out: str | Path | None) -> SearchFolder:
    if resume is not None:
        return folders.reopen(Path(resume), setup.config)
    name = setup.config.training.model.replace(":", "-").replace("/", "-")
    usual = Path("runs") / f"{name}-search-{time.strftime('%Y%m%d-%H%M%S')}"
    return folders.create(Path(out or usual), setup.config)


@dataclass(frozen=True)
class _Phases:
    """The phases of a search, which follow each other: trials, race and confirmation."""

    setup: SearchSetup
    study: Study
    engine: Engine
    folder: SearchFolder
    progress: SearchProgress

    def run(self) -> SearchResult:
        """Run all that is not recorded yet."""
        config, trunks = self.setup.config, self._trunks(self.setup.config.training)
        deadline = time.monotonic() + 60 * (config.max_minutes or math.inf)
        Search(
            config, self.setup.space, self.study, self.engine, self.progress, trunks, deadline
        ).run()
        result = gather(self.setup, self.study, self.folder.path)
        return self._confirmed(write_front(self._raced(result, trunks, deadline)), trunks)

    def _trunks(self, training: TrainingConfig) -> SharedTrunks:
        return SharedTrunks(training, self.folder.trunks, self.engine, self.progress.note)

    def _records(self, file: Path, trunks: SharedTrunks) -> Records:
        config = self.setup.config
        return Records(
            file,
            self.setup.space,
            trunks,
            steps=config.steps()[-1],
            search=config.identity(),
            note=self.progress.note,
        )

    def _raced(self, result: SearchResult, trunks: SharedTrunks, deadline: float) -> SearchResult:
        """Give the steps that are left to the candidates that may be on the front."""
        config = result.config
        if not config.steps_to_race():
            return result
        self.progress.racing(config.steps_to_race())
        raced = race(
            standings(result),
            self._records(self.folder.race, trunks),
            self.engine,
            seeds=range(_RACED_FROM, 2 * _RACED_FROM),
            steps=config.steps_to_race(),
            steps_of_run=config.steps_of_run(),
            steps_of_seed=config.training.trunk_steps,
            deadline=deadline,
        )
        return after_race(result, raced)

    def _confirmed(self, result: SearchResult, trunks: SharedTrunks) -> SearchResult:
        """Judge the front by seeds that chose nothing."""
        config = result.config
        members = {each.name: each.codes for each in result.front if each.placement is not None}
        first = max(config.training.seeds) + 1
        seeds = range(first, first + config.confirm_seeds)
        if not (members and seeds):
            return result
        self.progress.confirming(len(members), len(seeds))
        if config.confirms_from_scratch:
            trunks = self._trunks(config.training.model_copy(update={"trunk_steps": 0}))
        evidence = confirm(
            members,
            self._records(self.folder.confirmation(config.confirm_start), trunks),
            self.engine,
            seeds=seeds,
            measure=config.training.measure,
            resolution=result.setup.resolution,
            first_look=config.first_look,
        )
        return with_evidence(result, evidence, tuple(seeds))
