"""Runs of a comparison side by side, on the processes of this machine or on a Ray cluster.

Each run works in a folder of its own, its cell, by the same code as one after the other. When it
ends, the driver moves what the cell holds to the folder of the comparison. The cell of a run that
was killed stays, and the run resumes in it.
"""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock

from bamctl.data.sets import Data
from bamctl.engines.engine import Engine, Shared, outcomes
from bamctl.engines.engines import ENGINES
from bamctl.files.atomic import make_folder, write_bytes
from bamctl.networks import trust
from bamctl.training import trunks
from bamctl.training._runs import Parts, train_arm
from bamctl.training._standing import Origin, stand
from bamctl.training.arms import Arm, Networks
from bamctl.training.config import TrainingConfig
from bamctl.training.devices import accelerator_for, uses_cpu
from bamctl.training.json_lines import Line
from bamctl.training.run_folder import RunFolder
from bamctl.training.shared_trunks import SharedTrunks
from bamctl.training.trunks import TrunkJob
from bamctl.training.watching import NullObserver, Progress, of_line


@dataclass(frozen=True)
class Places:
    """Where the runs of a comparison are executed.

    `engine` is a key of `ENGINES`. `workers` is the number of runs at a time, or None for as many
    as there is room for; with the local engine, short comparisons then run one after the other.
    `gpus` is the share of a run on a Ray cluster at `address`.
    """

    engine: str = "local"
    workers: int | None = None
    gpus: float = 0.0
    address: str = "auto"

    def connect(self, config: TrainingConfig, data: Data | None) -> Engine:
        """Return the engine, ready for jobs."""
        workers = self.local_slots(config) if self.engine == "local" else self.workers
        trainer, threads = Trainer(config, data), config.threads or 1
        return ENGINES[self.engine](trainer, workers, threads, self.gpus, self.address)

    def local_slots(self, config: TrainingConfig) -> int:
        """Return the number of runs at a time on this machine: one for each core or GPU."""
        if self.workers:
            return self.workers
        if not uses_cpu(config.device):
            return torch.accelerator.device_count()
        return max((os.cpu_count() or 1) // (config.threads or 1), 1)


@dataclass(frozen=True)
class ArmJob:
    """A run to finish in its cell; without one, in a temporary folder from its start.

    `trunks` has the file of the trunk from which it parts; empty without trunks.
    """

    arm: Arm
    origin: Origin
    trunks: tuple[Shared, ...]
    cell: Path | None


@dataclass(frozen=True)
class Finished:
    """A finished run: its lines, the content of its files by relative path, and its messages."""

    metrics: tuple[Line, ...]
    timing: Line
    files: dict[str, bytes]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Trainer:
    """The function that an engine applies to jobs; it can be sent to other processes and machines.

    `folder` is the driver's, to import a factory from.
    """

    config: TrainingConfig
    data: Data | None
    folder: str = field(default_factory=os.getcwd)

    def __call__(self, job: ArmJob | TrunkJob) -> Finished | bytes:
        """Train an arm with a seed, or a trunk.

        Returns:
            The finished run, or the content of the trunk's file.

        Raises:
            BamctlError: it cannot be trained; the message says why.
        """
        # The job comes from a driver that has built, and so trusted, the network.
        placements = self.config.placements.values()
        trust.trust(self.config.model, *(name for each in placements for name in each.factories()))
        trust.trust(*self.config.code())
        trust.find_in(self.folder)
        _take_device()
        if isinstance(job, TrunkJob):
            assert self.data is not None
            return trunks.trained(self.config, self.data, job.seed)
        with _cell(job) as path:
            return self._finished(job, path)

    def _finished(self, job: ArmJob, path: Path) -> Finished:
        # Only one process works in a cell, and the driver has locked the whole folder.
        folder = RunFolder(path, lock=FileLock(path / "unused.lock"))
        config, origin, notes = self.config, job.origin, _Notes()
        found = stand(folder, origin)
        if not found.is_finished:
            networks, accelerator = Networks(config), accelerator_for(config)
            parts = Parts(config, self.data, networks, accelerator)
            trunk = next(map(trunks.read, job.trunks), None)
            train_arm(parts, folder, job.arm, origin, found, trunk, notes, set())
        files = [each for each in path.rglob("*.safetensors") if "checkpoints" not in each.parts]
        timing = folder.timed(origin.arm, origin.seed)
        assert timing is not None
        return Finished(
            metrics=tuple(folder.evaluations(origin.arm, origin.seed)),
            timing=timing,
            files={str(each.relative_to(path)): each.read_bytes() for each in files},
            notes=(*found.notes, *notes.texts),
        )


class SideBySide:
    """The runs of a comparison on an engine.

    Args:
        config: the comparison.
        engine: where they are executed.
        folder: the folder of the comparison.
        progress: the observer of the comparison, to whom a run is reported when it has ended.
        keeps_cells: whether the engine's jobs run on this machine, so that a killed run resumes.
    """

    def __init__(
        self,
        config: TrainingConfig,
        engine: Engine,
        folder: RunFolder,
        progress: Progress,
        *,
        keeps_cells: bool,
    ) -> None:
        self._config, self._engine, self._folder = config, engine, folder
        self._progress, self._keeps_cells = progress, keeps_cells
        self._measure = config.measure.name

    def run(self, runs: Sequence[tuple[Arm, Origin]], fingerprint: int | None) -> None:
        """Finish some runs.

        Args:
            runs: each with everything that determines it.
            fingerprint: the checksum of the pretrained weights.

        Raises:
            InputError, BamctlError: a run cannot be trained or recorded.
        """
        trunks = SharedTrunks(
            self._config, self._folder.trunks, self._engine, self._progress.note, fingerprint
        )
        # All at once, so that they are trained side by side.
        trunks.of(dict.fromkeys(origin.seed for _, origin in runs))
        jobs = {
            (origin.arm, origin.seed): ArmJob(
                arm, origin, trunks.of((origin.seed,)), self._cell(origin)
            )
            for arm, origin in runs
        }
        for (name, seed), finished in outcomes(self._engine, jobs):
            self._record(name, seed, finished)
            shutil.rmtree(self._cell_path(jobs[name, seed].origin), ignore_errors=True)
        # Only cells of runs that are not of this comparison any more are left.
        with suppress(OSError):
            self._folder.cells.rmdir()

    def _cell_path(self, origin: Origin) -> Path:
        return self._folder.cell(origin.arm, origin.seed)

    def _cell(self, origin: Origin) -> Path | None:
        if not self._keeps_cells:
            return None
        path = self._cell_path(origin).absolute()
        make_folder(path)
        return path

    def _record(self, arm: str, seed: int, finished: Finished) -> None:
        """Move a run to the folder of the comparison, the weights, which finish it, last."""
        self._folder.begin(arm, seed, 0)
        for text in finished.notes:
            self._progress.note(text)
        self._progress.run_started(arm, seed, self._config.trunk_steps)
        for line in finished.metrics:
            self._folder.metrics.append(line)
            self._progress.evaluated(arm, seed, of_line(line, self._measure))
        self._progress.stepped(self._config.recipe.steps, None)
        self._folder.timing.append({"arm": arm, "seed": seed, **finished.timing})
        for name in sorted(finished.files):
            write_bytes(self._folder.path / name, finished.files[name])


def _take_device() -> None:
    """Choose one of several GPUs by the number of this process among its siblings."""
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    number = multiprocessing.current_process()._identity
    if count > 1 and number:
        torch.accelerator.set_device_index((number[0] - 1) % count)


class _Notes(NullObserver):
    """Observer that keeps the messages of a run for its driver."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@contextmanager
def _cell(job: ArmJob) -> Iterator[Path]:
    if job.cell is not None:
        yield job.cell
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
