"""Trunks: the part of the baseline's runs that all arms of a comparison share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from bamctl.data.sets import Data
from bamctl.training._recorders import TrunkRecorder, sealed
from bamctl.training._standing import MisfitError, Origin, trunk_state
from bamctl.training._state import State
from bamctl.training.arms import Networks
from bamctl.training.config import TrainingConfig
from bamctl.training.loop import Run
from bamctl.training.run_folder import RunFolder
from bamctl.training.watching import Progress

# The name of a trunk's run, in its receipt and while it is trained.
TRUNK = "trunk"


class Trunks:
    """The trunks of a comparison, one for each seed, which are trained once and kept.

    A trunk is the beginning of the baseline's run, with its schedule and data order, so that the
    baseline that parts from it is the baseline from scratch, bit for bit.

    Args:
        folder: the folder of the comparison.
        config: the comparison.
        networks: builds the baseline.
        data: the images.
        accelerator: that of all runs.
        made_from: everything else that determines a trunk, in plain values.
        told: files that were reported to be skipped.
        progress: the observer of the comparison.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: TrainingConfig,
        networks: Networks,
        data: Data,
        accelerator: Accelerator,
        *,
        made_from: Mapping[str, Any],
        told: set[str],
        progress: Progress,
    ) -> None:
        self._folder, self._config, self._networks = folder, config, networks
        self._data, self._accelerator = data, accelerator
        self._made_from, self._told, self._progress = dict(made_from), told, progress

    def state(self, seed: int) -> State | None:
        """Return the state at the end of a trunk, trained unless it is kept; None without trunks.

        Raises:
            InputError: the one that is kept was trained from another configuration.
            BamctlError: it cannot be trained or written.
        """
        if not self._config.trunk_steps:
            return None
        origin, path = Origin(TRUNK, seed, self._made_from, (), None), self._folder.trunk(seed)
        is_main = self._accelerator.is_main_process
        (is_kept,) = broadcast_object_list([is_main and self._kept(path, origin) is not None])
        if not is_kept:
            self._train(origin)
        # Read by all processes, as after an interruption.
        return trunk_state(path, origin)

    def _train(self, origin: Origin) -> None:
        seed, accelerator = origin.seed, self._accelerator
        run = Run(self._networks.baseline(seed), self._data, self._config, seed, accelerator)
        found = None
        if accelerator.is_main_process:
            states = (self._kept(path, origin) for path in self._folder.states(None, seed))
            found = next(filter(None, states), None)
        (found,) = broadcast_object_list([found])
        if found is not None:
            run.restore(found)
        self._progress.run_started(TRUNK, seed, run.step)
        recorder = TrunkRecorder(self._folder, origin, self._progress, self._told)
        end = run.train_trunk(self._config.trunk_steps, recorder)
        self._folder.save_trunk(seed, sealed(end, origin))
        accelerator.wait_for_everyone()
        accelerator.free_memory()

    def _kept(self, path: Path, origin: Origin) -> State | None:
        """Read a state; return None with a note if it cannot be used.

        Raises:
            InputError: it was trained from another configuration.
        """
        if not path.exists():
            return None
        try:
            return trunk_state(path, origin)
        except MisfitError as error:
            self._progress.note(f"{path} {error}; the trunk of seed {origin.seed} is trained again")
            return None
