"""The folder of a comparison: its configuration, results and checkpoints.

config.yaml     the whole configuration
metrics.jsonl   a line for each evaluation; identical in every repetition on one machine
timing.jsonl    a line for each finished run: seconds and memory
trunks/         the state at the end of each trunk, and the last two of an unfinished one
cells/          a folder like this for each unfinished run that is executed beside others
checkpoints/    the last two states of an unfinished run
weights/        the final weights of each finished run, with its placement
snapshots/      the weights at each evaluation, if requested

States and final weights include a receipt: their run, configuration and evaluations, with a
checksum; `_standing` verifies it.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from torch import nn

from bamctl.errors import InputError, appended
from bamctl.files import held_folder
from bamctl.files.atomic import make_folder, short_name
from bamctl.placement.placement import Placement
from bamctl.training import _state as states
from bamctl.training._state import State
from bamctl.training.config import TrainingConfig
from bamctl.training.json_lines import JsonLines, Line, go_on
from bamctl.training.lines import EvaluationLine, TimingLine
from bamctl.weights import checkpoints

_CONFIG = "config.yaml"
_KEPT_STATES = 2
# The metadata key of the receipt in final weights.
RUN_KEY = "bamctl_run"


class RunFolder:
    """A folder of a comparison, locked by one program at a time.

    Of several processes of that program one is the writer; the others only read.

    Args:
        path: the folder.
        is_writer: whether this process is the writer.
        lock: the lock of the folder, if already acquired.

    Raises:
        InputError: the folder is in use, or is not that of a comparison.
    """

    def __init__(self, path: Path, *, is_writer: bool = True, lock: FileLock | None = None) -> None:
        self.path = path
        self._is_writer = is_writer
        self._lock = held_folder.hold(path) if is_writer and lock is None else lock
        self.metrics = JsonLines(
            path / "metrics.jsonl", ("arm", "seed", "step"), EvaluationLine, is_writer=is_writer
        )
        self.timing = JsonLines(
            path / "timing.jsonl", ("arm", "seed"), TimingLine, is_writer=is_writer
        )

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.release()

    def evaluations(self, arm: str, seed: int) -> list[Line]:
        """Return the lines of a run in `metrics.jsonl`, in the order of the file."""
        return [line for line in self.metrics.lines if _is_of(line, arm, seed)]

    def timed(self, arm: str, seed: int) -> Line | None:
        """Return the timing of a run, without arm and seed, or None if it is not finished."""
        for line in self.timing.lines:
            if _is_of(line, arm, seed):
                return {key: value for key, value in line.items() if key not in ("arm", "seed")}
        return None

    def weights(self, arm: str, seed: int) -> Path:
        """Return the path of a run's final weights."""
        return self.path / "weights" / f"{_file_name(arm)}.seed-{seed}.safetensors"

    def states(self, arm: str | None, seed: int) -> list[Path]:
        """Return the states of an unfinished run, the newest first; without an arm, of a trunk."""
        return sorted(self._states(arm, seed).glob("step-*.safetensors"), reverse=True)

    @property
    def trunks(self) -> Path:
        """The folder of the trunks."""
        return self.path / "trunks"

    def trunk(self, seed: int) -> Path:
        """Return the path of the state at the end of a trunk."""
        return trunk_file(self.trunks, seed)

    def save_trunk(self, seed: int, state: State) -> None:
        """Write the state at the end of a trunk, and delete those on its way.

        Raises:
            BamctlError: it cannot be written.
        """
        if self._is_writer:
            with appended(go_on(self.path)):
                make_folder(self.trunk(seed).parent)
                states.write(self.trunk(seed), state)
            shutil.rmtree(self._states(None, seed), ignore_errors=True)

    @property
    def cells(self) -> Path:
        """The folder of the runs that are executed beside each other."""
        return self.path / "cells"

    def cell(self, arm: str, seed: int) -> Path:
        """Return the folder of a run that is executed beside others."""
        return self.cells / f"{_file_name(arm)}.seed-{seed}"

    def arrange(self, arms: Sequence[str], seeds: Sequence[int]) -> None:
        """Sort the lines as if the runs had been executed one after the other."""
        order = {run: i for i, run in enumerate((arm, seed) for seed in seeds for arm in arms)}
        for file in (self.metrics, self.timing):
            file.sort(lambda line: order.get((line["arm"], line["seed"]), len(order)))

    def begin(self, arm: str, seed: int, evaluations: int) -> None:
        """Drop the lines of a run after its first `evaluations`, from which it resumes.

        Raises:
            InputError: the folder cannot be written.
        """
        void = {id(line) for line in self.evaluations(arm, seed)[evaluations:]}
        self.metrics.drop(lambda line: id(line) in void)
        self.timing.drop(lambda line: _is_of(line, arm, seed))

    def finish(
        self,
        arm: str,
        seed: int,
        network: nn.Module,
        placement: Placement | None,
        timing: Mapping[str, Any],
        receipt: Mapping[str, Any],
    ) -> None:
        """Save the final weights and timing of a run, and delete its states.

        Args:
            arm: the arm of the run.
            seed: the seed of the run.
            network: the network, with the final weights.
            placement: the placement inserted in it.
            timing: seconds per step and peak memory.
            receipt: the receipt of the run, by `Origin.receipt`.

        Raises:
            BamctlError: they cannot be written.
        """
        if not self._is_writer:
            return
        self.timing.append({"arm": arm, "seed": seed, **timing})
        sealed = states.seal(network.state_dict(), {**receipt, "timing": dict(timing)})
        self._write(self.weights(arm, seed), network, placement, {RUN_KEY: sealed})
        shutil.rmtree(self._states(arm, seed), ignore_errors=True)

    def save_snapshot(
        self, arm: str, seed: int, step: int, network: nn.Module, placement: Placement | None
    ) -> None:
        """Save the weights after a step, for analysis; resuming does not use them.

        Raises:
            BamctlError: they cannot be written.
        """
        if self._is_writer:
            name = f"{_file_name(arm)}.seed-{seed}.step-{step:06}.safetensors"
            self._write(self.path / "snapshots" / name, network, placement)

    def _write(
        self,
        path: Path,
        network: nn.Module,
        placement: Placement | None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        with appended(go_on(self.path)):
            make_folder(path.parent)
            checkpoints.write(path, network, placement, more)

    def save_state(self, arm: str | None, seed: int, step: int, state: Callable[[], State]) -> None:
        """Save a state, without an arm that of a trunk, and delete all but the one before it.

        Raises:
            BamctlError: it cannot be written; the states before it are kept.
        """
        if not self._is_writer:
            return
        folder = self._states(arm, seed)
        make_folder(folder)
        states.write(folder / f"step-{step:09}.safetensors", state())
        for old in self.states(arm, seed)[_KEPT_STATES:]:
            old.unlink()

    def _states(self, arm: str | None, seed: int) -> Path:
        if arm is None:
            return self.trunk(seed).with_suffix("")
        return self.path / "checkpoints" / f"{_file_name(arm)}.seed-{seed}"


def trunk_file(folder: Path, seed: int) -> Path:
    """Return the path of the state at the end of a trunk in a folder of trunks."""
    return folder / f"seed-{seed}.safetensors"


def create(path: Path, config: TrainingConfig) -> RunFolder:
    """Create the folder of a new comparison, and lock it.

    Raises:
        InputError: the folder exists and is not empty, is in use, or cannot be created.
    """
    lock = held_folder.make(path)
    config.save(path / _CONFIG)
    return RunFolder(path, lock=lock)


def read_config(path: Path) -> TrainingConfig:
    """Read the configuration of the comparison in a folder.

    Raises:
        InputError: the file does not exist or is invalid.
    """
    if not (path / _CONFIG).is_file():
        raise InputError(f"{path} is not a folder of `bamctl train`: it has no {_CONFIG}")
    return TrainingConfig.load(path / _CONFIG)


def reopen(path: Path) -> RunFolder:
    """Lock the folder of a comparison to resume.

    Raises:
        InputError: the folder is in use, cannot be written, or is not that of a comparison.
    """
    read_config(path)
    return RunFolder(path)


def rewrite(path: Path, config: TrainingConfig) -> None:
    """Write a configuration if it has changed, by more seeds.

    Raises:
        InputError: it cannot be written.
    """
    if read_config(path) != config:
        config.save(path / _CONFIG)


def _is_of(line: Mapping[str, Any], arm: str, seed: int) -> bool:
    return (line["arm"], line["seed"]) == (arm, seed)


def check_names(arms: Iterable[str]) -> None:
    """Raise if files of two arms would have the same name.

    Raises:
        InputError: they would.
    """
    found: dict[str, str] = {}
    for arm in arms:
        other = found.setdefault(_file_name(arm), arm)
        if other != arm:
            raise InputError(
                f"{other!r} and {arm!r} would share the file name {_file_name(arm)}; "
                "rename one of the placements"
            )


def _file_name(arm: str) -> str:
    return short_name(re.sub(r"[^\w.-]", "_", arm))
