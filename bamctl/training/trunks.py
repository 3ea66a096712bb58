"""Trunks: the part of the baseline's runs that all arms of a comparison share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from bamctl.data.sets import Data
from bamctl.engines.engine import Shared
from bamctl.training import _state as states
from bamctl.training._recorders import TrunkRecorder, sealed
from bamctl.training._runs import threads_of
from bamctl.training._standing import MisfitError, Origin, trunk_state
from bamctl.training._state import State
from bamctl.training.arms import Networks
from bamctl.training.config import TrainingConfig
from bamctl.training.devices import accelerator_for
from bamctl.training.loop import Run
from bamctl.training.run_folder import RunFolder
from bamctl.training.watching import NullObserver, Progress

# The name of a trunk's run, in its receipt and while it is trained.
TRUNK = "trunk"


def origin_of(config: TrainingConfig, seed: int, weights: int | None = None) -> Origin:
    """Return everything that determines a trunk; `weights` is their checksum, if it has any."""
    made_from = {**config.identity(), "weights": weights, "arm": TRUNK, "placement": None}
    return Origin(TRUNK, seed, made_from, (), None)


def trained(config: TrainingConfig, data: Data, seed: int) -> bytes:
    """Train a trunk, and return the content of its file.

    Raises:
        InputError, BamctlError: it cannot be trained.
    """
    accelerator, networks = accelerator_for(config), Networks(config)
    with threads_of(config):
        run = Run(networks.baseline(seed), data, config, seed, accelerator)
        end = run.train_trunk(config.trunk_steps, NullObserver())
    accelerator.free_memory()
    return states.dump(sealed(end, origin_of(config, seed, networks.fingerprint())))


def read(trunk: Shared) -> State:
    """Read the state at the end of a trunk, in a job of an engine.

    Raises:
        BamctlError: the file was modified, or there is too little memory for it.
    """
    with trunk.opened() as path:
        return states.read(path)


def kept(path: Path, origin: Origin, note: Callable[[str], None]) -> State | None:
    """Read a state of a trunk; return None, with a note, if it cannot be used.

    Raises:
        InputError: it was trained from another configuration.
    """
    if not path.exists():
        return None
    try:
        return trunk_state(path, origin)
    except MisfitError as error:
        note(f"{path} {error}; retraining the trunk of seed {origin.seed}")
        return None


@dataclass(frozen=True)
class TrunkJob:
    """The trunk of a seed, as a job for an engine; its result is the content of the file."""

    seed: int


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
        told: set[str],
        progress: Progress,
    ) -> None:
        self._folder, self._config, self._networks = folder, config, networks
        self._data, self._accelerator = data, accelerator
        self._told, self._progress = told, progress

    def state(self, seed: int) -> State:
        """Return the state at the end of a trunk, trained unless it is kept.

        Raises:
            InputError: the one that is kept was trained from another configuration.
            BamctlError: it cannot be trained or written.
        """
        origin = origin_of(self._config, seed, self._networks.fingerprint())
        path = self._folder.trunk(seed)
        is_main = self._accelerator.is_main_process
        found = kept(path, origin, self._progress.note) if is_main else None
        (is_kept,) = broadcast_object_list([found is not None])
        if not is_kept:
            with threads_of(self._config):
                self._train(origin)
        # Read by all processes, as after an interruption; the main one has it if it was kept.
        return found or trunk_state(path, origin)

    def _train(self, origin: Origin) -> None:
        seed, accelerator = origin.seed, self._accelerator
        run = Run(self._networks.baseline(seed), self._data, self._config, seed, accelerator)
        found, note = None, self._progress.note
        if accelerator.is_main_process:
            states = (kept(path, origin, note) for path in self._folder.states(None, seed))
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
