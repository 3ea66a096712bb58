"""The folder of a comparison: what it is made of, what it has found, and where it can go on.

config.yaml     the whole configuration
metrics.jsonl   a line for each evaluation; the same in every repetition on one machine
timing.jsonl    a line for each finished run: seconds and memory
checkpoints/    the last two states of a run that is not finished
weights/        the final weights of each finished run, with its placement
snapshots/      if asked for, the weights at each evaluation
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import nn

from bamctl import checkpoints
from bamctl.errors import BamctlError, InputError, appended
from bamctl.files import check_can_read, make_folder, make_run_folder, short_name
from bamctl.placement import Placement
from bamctl.training import state as states
from bamctl.training.config import TrainingConfig
from bamctl.training.lines import EvaluationLine, Line, TimingLine
from bamctl.training.state import State

_CONFIG = "config.yaml"
_KEPT_STATES = 2


class JsonLines:
    """A file of JSON lines that is only ever appended to, and knows its lines by some keys.

    A line that is there already is not written again, so that what is run twice after an
    interruption stands once.
    """

    def __init__(
        self,
        path: Path,
        keys: tuple[str, ...],
        schema: type[Line] = Line,
        *,
        is_writer: bool = True,
    ) -> None:
        self.path = path
        self._keys = keys
        self._schema = schema
        self._is_writer = is_writer
        self.lines: list[dict[str, Any]] = []
        if path.exists():
            self._read()

    def append(self, line: Mapping[str, Any]) -> None:
        """Write a line and have it on the disk, unless it stands there already.

        Raises:
            BamctlError: it cannot be written; the file is left without it.
        """
        if not self._is_writer or self._key(line) in map(self._key, self.lines):
            return
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)
            raise BamctlError(
                f"cannot write {self.path}: {error.strerror}; {_go_on(self.path.parent)}"
            ) from error
        self.lines.append(dict(line))

    def _read(self) -> None:
        check_can_read(self.path)
        content = self.path.read_bytes()
        whole, newline, _ = content.rpartition(b"\n")
        size = len(whole + newline)
        if size < len(content) and self._is_writer:
            # The last line was being written when the program ended.
            os.truncate(self.path, size)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self.lines.append(json.loads(line))
                self._key(self.lines[-1])
                self._schema.model_validate(self.lines[-1])
            except (ValueError, KeyError, TypeError, RecursionError):
                raise InputError(
                    f"{self.path}:{number}: not a line of ours; the run cannot go on"
                ) from None

    def _key(self, line: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(line[key] for key in self._keys)


class RunFolder:
    """A folder of a comparison, held by one program at a time.

    Of several processes of that program one is the writer; the others only read.

    Raises:
        InputError: it is in use, or is no such folder.
    """

    def __init__(self, path: Path, *, is_writer: bool = True) -> None:
        self.path = path
        self._is_writer = is_writer
        self._lock = FileLock(path / ".lock")
        try:
            if is_writer:
                self._lock.acquire(blocking=False)
        except Timeout:
            raise InputError(f"{path} is in use by another run; wait for it, or end it") from None
        self.metrics = JsonLines(
            path / "metrics.jsonl", ("arm", "seed", "step"), EvaluationLine, is_writer=is_writer
        )
        self.timing = JsonLines(
            path / "timing.jsonl", ("arm", "seed"), TimingLine, is_writer=is_writer
        )

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.release()

    def is_finished(self, arm: str, seed: int) -> bool:
        """Whether an arm was trained to the end with a seed, and all that it found is there."""
        return self.weights(arm, seed).exists() and all(
            any((line["arm"], line["seed"]) == (arm, seed) for line in file.lines)
            for file in (self.metrics, self.timing)
        )

    def weights(self, arm: str, seed: int) -> Path:
        """Where the final weights of a run are."""
        return self.path / "weights" / f"{_file_name(arm)}.seed-{seed}.safetensors"

    def finish(
        self,
        arm: str,
        seed: int,
        network: nn.Module,
        placement: Placement | None,
        timing: Mapping[str, Any],
    ) -> None:
        """Keep the final weights of a run and its timing, and drop the states on the way there.

        Raises:
            BamctlError: they cannot be written.
        """
        if not self._is_writer:
            return
        self.timing.append({"arm": arm, "seed": seed, **timing})
        self._write(self.weights(arm, seed), network, placement)
        shutil.rmtree(self._states(arm, seed), ignore_errors=True)

    def save_snapshot(
        self, arm: str, seed: int, step: int, network: nn.Module, placement: Placement | None
    ) -> None:
        """Keep the weights after a step, to look at.

        Raises:
            BamctlError: they cannot be written.
        """
        if self._is_writer:
            name = f"{_file_name(arm)}.seed-{seed}.step-{step:06}.safetensors"
            self._write(self.path / "snapshots" / name, network, placement)

    def _write(self, path: Path, network: nn.Module, placement: Placement | None) -> None:
        with appended(_go_on(self.path)):
            make_folder(path.parent)
            checkpoints.write(path, network, placement)

    def save_state(self, arm: str, seed: int, step: int, state: Callable[[], State]) -> None:
        """Keep a state, and the one before it.

        Raises:
            BamctlError: it cannot be written; those before it stay.
        """
        if not self._is_writer:
            return
        folder = self._states(arm, seed)
        make_folder(folder)
        states.write(folder / f"step-{step:09}.safetensors", state())
        for old in sorted(folder.glob("step-*.safetensors"))[:-_KEPT_STATES]:
            old.unlink()

    def last_state(self, arm: str, seed: int) -> tuple[State | None, tuple[str, ...]]:
        """The newest state that is whole, and what is wrong with those after it."""
        damaged: list[str] = []
        for path in sorted(self._states(arm, seed).glob("step-*.safetensors"), reverse=True):
            try:
                return states.read(path), tuple(damaged)
            except states.DamagedStateError as error:
                damaged.append(str(error))
        return None, tuple(damaged)

    def _states(self, arm: str, seed: int) -> Path:
        return self.path / "checkpoints" / f"{_file_name(arm)}.seed-{seed}"


def create(path: Path, config: TrainingConfig) -> None:
    """Make the folder of a new comparison.

    Raises:
        InputError: there is something already, or it cannot be made.
    """
    make_run_folder(path)
    config.save(path / _CONFIG)


def read_config(path: Path) -> TrainingConfig:
    """The configuration of the comparison in a folder.

    Raises:
        InputError: there is none, or it is not valid.
    """
    if not (path / _CONFIG).is_file():
        raise InputError(f"{path} is no folder of `bamctl train`: it has no {_CONFIG}")
    return TrainingConfig.load(path / _CONFIG)


def rewrite(path: Path, config: TrainingConfig) -> None:
    """Write a configuration that has more seeds now.

    Raises:
        InputError: it cannot be written.
    """
    if read_config(path) != config:
        config.save(path / _CONFIG)


def _go_on(folder: Path) -> str:
    return f"mend that, and `bamctl train --resume {folder}` goes on from there"


def _file_name(arm: str) -> str:
    return short_name(re.sub(r"[^\w.-]", "_", arm))
