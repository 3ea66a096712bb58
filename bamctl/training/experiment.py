"""A comparison from start to end: training of every arm with every seed, then evaluation."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from bamctl.data.images import left_out
from bamctl.data.sets import Data
from bamctl.engines.engine import Engine
from bamctl.errors import InputError
from bamctl.placement.placement import Placement
from bamctl.training import run_folder
from bamctl.training._runs import Parts, train_arm
from bamctl.training._standing import Origin, Standing, stand
from bamctl.training._statistics import quicken_statistics
from bamctl.training.arms import Arm, Arms, Networks, make_arms
from bamctl.training.config import TrainingConfig
from bamctl.training.devices import accelerator_for
from bamctl.training.result import Result, summarize
from bamctl.training.run_folder import RunFolder
from bamctl.training.samples import check_data, load_data
from bamctl.training.side_by_side import Places, SideBySide
from bamctl.training.trunks import Trunks
from bamctl.training.until import Budget
from bamctl.training.watching import Progress

# Runs of fewer seconds in all are not worth the start of processes.
_WORTH_PROCESSES = 20.0


class Experiment:
    """A comparison, ready to run.

    Args:
        config: the whole configuration.
        data: its samples; read if left out, unless a loop of one's own has its own.
        places: where runs are executed.

    Raises:
        InputError: parts of the configuration are incompatible.
    """

    def __init__(
        self, config: TrainingConfig, data: Data | None = None, places: Places | None = None
    ) -> None:
        self.places = places or Places(workers=1)
        self.data = data
        if self.data is None and config.loop is None:
            self.data = load_data(config, config.data, config.task, device=config.device)
        if not config.placements:
            raise InputError("placements must not be empty; add one to compare with the baseline")
        if self.data is not None:
            config = check_data(config, self.data)
        self.networks = Networks(config)
        self.made: Arms = make_arms(config, self.networks.baseline(config.seeds[0]))
        run_folder.check_names(arm.name for arm in self.arms)
        # With explicit sites it means the same in any version.
        pinned = {
            arm.name: arm.placement.without_network()
            for arm in self.arms
            if arm.kind == "placement" and arm.placement
        }
        self.config = config.model_copy(update={"placements": pinned})
        self.accelerator: Accelerator = accelerator_for(config)
        self._told: set[str] = set()
        self._engine: Engine | None = None

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The networks that are compared, the baseline first."""
        return self.made.arms

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes files and reports."""
        return bool(self.accelerator.is_main_process)

    def run(self, path: Path, progress: Progress, *, resume: bool = False) -> Result:
        """Run the unfinished training runs, and evaluate the comparison.

        Args:
            path: the folder of the comparison, which must not exist unless `resume` is set.
            progress: observer of the comparison.
            resume: whether to resume the comparison in the folder.

        Raises:
            InputError: the folder cannot be used.
            BamctlError: writing to the folder fails.
        """
        # Processes may have named the folder by their clocks, which differ.
        (path,) = broadcast_object_list([path])
        folder = self._opened(path, resume)
        try:
            new = () if resume else (*self.made.warnings, *self._about_statistics())
            for text in (*new, *self.made.missing):
                progress.note(text)
            if self.data is not None and self.data.skipped:
                progress.note(left_out(self.data.skipped))
            until = self.config.until
            budget = until and Budget(until, len(self.config.seeds))
            self._train_all(folder, self.config.seeds, progress)
            result = self._summary(path)
            return self._until_settled(folder, result, budget, progress) if budget else result
        finally:
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            folder.close()

    def _about_statistics(self) -> list[str]:
        """Return a note if batch norms are given another momentum."""
        if self.data is None or self.config.weights is not None:
            return []
        network, steps = self.config.build(initialize=False), self.config.recipe.steps
        changed = quicken_statistics(network, steps)
        if changed is None:
            return []
        before, after = changed
        return [
            f"batch norms train with momentum {after:.2g} where the network says {before:.2g}, "
            f"since their statistics would lag behind in {steps} steps"
        ]

    def _train_all(self, folder: RunFolder, seeds: Sequence[int], progress: Progress) -> None:
        """Finish the runs of all arms with some seeds."""
        left = [
            each for each in self._standings(folder, seeds, progress) if not each[1].is_finished
        ]
        began, waiting = perf_counter(), deque(left)
        # A run that was begun one after the other resumes so.
        while waiting and not self._goes_side_by_side(waiting, perf_counter() - began, len(left)):
            origin, found = waiting.popleft()
            trunks = self._trunks(folder, progress)
            trunk = None if trunks is None else trunks.state(origin.seed)
            arm = self._arm(origin.arm)
            train_arm(self._parts(), folder, arm, origin, found, trunk, progress, self._told)
        if waiting:
            self._train_side_by_side(folder, [origin for origin, _ in waiting], progress)

    def _goes_side_by_side(
        self, waiting: Sequence[tuple[Origin, Standing]], seconds: float, runs: int
    ) -> bool:
        """Return whether the runs that are waiting should run on the engine."""
        if self.accelerator.num_processes > 1 or self.places.workers == 1:
            return False
        if waiting[0][1].state is not None or len(waiting) == 1:
            return False
        if self._engine is not None or self.places.workers or self.places.engine != "local":
            return True
        done = runs - len(waiting)
        return done > 0 and seconds / done * len(waiting) > _WORTH_PROCESSES

    def _train_side_by_side(
        self, folder: RunFolder, origins: Sequence[Origin], progress: Progress
    ) -> None:
        if self._engine is None:
            self._engine = self.places.connect(self.config, self.data)
        local = self.places.engine == "local"
        runs = SideBySide(self.config, self._engine, folder, progress, keeps_cells=local)
        pairs = [(self._arm(origin.arm), origin) for origin in origins]
        runs.run(pairs, self.networks.fingerprint())
        folder.arrange([arm.name for arm in self.arms], self.config.seeds)

    def _arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def _parts(self) -> Parts:
        return Parts(self.config, self.data, self.networks, self.accelerator)

    def _summary(self, path: Path) -> Result:
        # Reread by all processes, since only one has written it.
        return summarize(RunFolder(path, is_writer=False), self.config, self.made, self.data)

    def _until_settled(
        self, folder: RunFolder, result: Result, budget: Budget, progress: Progress
    ) -> Result:
        """Add seed after seed until every comparison is settled, or the budget is spent."""
        while (reason := budget.reason_to_stop(result)) is None:
            before = len(self.config.seeds)
            most = self.config.until.max_seeds if self.config.until else before
            # As many as keep all workers busy.
            more = 1 if self._engine is None else -(-self._engine.slots // len(self.arms))
            self.config = self.config.with_seeds(min(before + more, most))
            progress.seed_added(len(self.config.seeds))
            self._train_all(folder, self.config.seeds[before:], progress)
            result = self._summary(folder.path)
        return replace(result, stopped=reason)

    def _opened(self, path: Path, resume: bool) -> RunFolder:
        """Open the folder: the main process locks it before the others read it."""
        if self.is_main:
            folder = run_folder.reopen(path) if resume else run_folder.create(path, self.config)
        self.accelerator.wait_for_everyone()
        return folder if self.is_main else RunFolder(path, is_writer=False)

    def _standings(
        self, folder: RunFolder, seeds: Sequence[int], progress: Progress
    ) -> list[tuple[Origin, Standing]]:
        """Return the progress of each run, as found by the main process.

        Raises:
            InputError: a run was made from another configuration.
        """
        origins = [self._origin(arm, seed) for seed in seeds for arm in self.arms]
        found = [stand(folder, origin) for origin in origins] if self.is_main else []
        (found,) = broadcast_object_list([found])
        if self.is_main:
            # The seeds may have increased; existing runs were made from no other configuration.
            run_folder.rewrite(folder.path, self.config)
        for text in (text for each in found for text in each.notes):
            progress.note(text)
        if unverified := sum(not each.is_verified for each in found):
            progress.note(
                f"{unverified} runs were saved by an older version, without checksums; whether "
                "they match this configuration and are unmodified cannot be verified"
            )
        return list(zip(origins, found, strict=True))

    def _trunks(self, folder: RunFolder, progress: Progress) -> Trunks | None:
        """Return the trunks; None if the arms start from elsewhere."""
        if self.data is None or not self.config.trunk_steps:
            return None
        return Trunks(
            folder,
            self.config,
            self.networks,
            self.data,
            self.accelerator,
            told=self._told,
            progress=progress,
        )

    def _origin(self, arm: Arm, seed: int) -> Origin:
        placement = self.config.placements.get(arm.of or arm.name)
        made_from = {
            **self.config.identity(),
            "weights": self.networks.fingerprint(),
            "arm": arm.kind,
            "placement": placement and placement.as_dict(),
        }
        steps = self.config.evaluated_at()
        measure = self.config.measure.name
        return Origin(arm.name, seed, made_from, steps, self._placement(arm), measure)

    def _placement(self, arm: Arm) -> Placement | None:
        """Return an arm's placement with its network, for `bamctl insert`."""
        return arm.placement and arm.placement.with_network(self.config)
