"""One run of a comparison: an arm with a seed, from where its folder leaves off to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from bamctl.data.sets import Data
from bamctl.errors import InputError, first_line
from bamctl.training import _state as states
from bamctl.training._recorders import Recorder
from bamctl.training._standing import Origin, Standing
from bamctl.training._state import State
from bamctl.training.arms import Arm, Networks
from bamctl.training.config import TrainingConfig
from bamctl.training.devices import uses_cpu
from bamctl.training.loop import Run
from bamctl.training.own_loop import train_own
from bamctl.training.run_folder import RunFolder
from bamctl.training.watching import Progress


@dataclass(frozen=True)
class Parts:
    """What all runs of a comparison share in one process; a loop of one's own has no `data`."""

    config: TrainingConfig
    data: Data | None
    networks: Networks
    accelerator: Accelerator


def train_arm(
    parts: Parts,
    folder: RunFolder,
    arm: Arm,
    origin: Origin,
    found: Standing,
    trunk: State | None,
    progress: Progress,
    told: set[str],
) -> None:
    """Finish a run, and record it.

    Args:
        parts: what all runs share.
        folder: the folder that the run is recorded in.
        arm: the arm.
        origin: everything that determines the run.
        found: where it is resumed.
        trunk: the state from which it parts.
        progress: the observer of the comparison.
        told: files that were reported to be skipped.

    Raises:
        InputError, BamctlError: it cannot be trained or recorded.
    """
    config, seed, networks = parts.config, origin.seed, parts.networks
    with threads_of(config):
        network = networks.of(arm, seed, trunk)
        pretrained = networks.pretrained(network, trunk)

        def snapshot(step: int) -> None:
            if config.snapshots:
                folder.save_snapshot(arm.name, seed, step, network, origin.placement)

        recorder = Recorder(folder, origin, progress, told, snapshot)
        if parts.data is None:
            folder.begin(arm.name, seed, 0)
            progress.run_started(arm.name, seed, 0)
            timing = train_own(network, config, seed, parts.accelerator.device, recorder)
        else:
            run = Run(network, parts.data, config, seed, parts.accelerator, pretrained, trunk)
            if found.state is not None:
                _restore(run, found.state)
            folder.begin(arm.name, seed, found.evaluations)
            progress.run_started(arm.name, seed, run.step)
            timing = run.train(recorder)
        receipt = origin.receipt(folder.evaluations(arm.name, seed))
        folder.finish(arm.name, seed, network, origin.placement, asdict(timing), receipt)
        parts.accelerator.wait_for_everyone()
        parts.accelerator.free_memory()


@contextmanager
def threads_of(config: TrainingConfig) -> Iterator[None]:
    """Compute with the threads of the comparison on a CPU, since results depend on their number."""
    before = torch.get_num_threads()
    if config.threads is not None and uses_cpu(config.device):
        torch.set_num_threads(config.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _restore(run: Run, path: Path) -> None:
    """Resume from a state; only here may one of an older version prove to be of another network.

    Raises:
        InputError: it is.
    """
    try:
        run.restore(states.read(path))
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} does not match the network ({first_line(error)}); delete it to resume "
            "without it"
        ) from error
