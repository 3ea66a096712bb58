"""A comparison from start to end: training of every arm with every seed, then evaluation."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list

from bamctl.data import sets as datasets
from bamctl.data.images import left_out
from bamctl.data.sets import Data
from bamctl.errors import BamctlError, InputError, first_line
from bamctl.networks import models
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.placement import Placement
from bamctl.training import _state as states
from bamctl.training import run_folder
from bamctl.training._standing import Origin, Standing, stand
from bamctl.training._state import State
from bamctl.training.arms import Arm, Arms, Networks, make_arms
from bamctl.training.config import DataConfig, TrainingConfig
from bamctl.training.devices import accelerator_for, uses_cpu
from bamctl.training.loop import Run
from bamctl.training.result import Result, summarize
from bamctl.training.run_folder import RunFolder
from bamctl.training.watching import Evaluation, Progress, Watcher, as_line


def load_data(network: NetworkSpec, config: DataConfig, *, device: str = "auto") -> Data:
    """Read the images of a configuration, at the input size of a network.

    Raises:
        InputError: they do not exist, cannot be read, or do not fit the network.
    """
    (usual, *more) = models.default_inputs(network.name)
    if more or len(usual.shape) != 3:
        raise InputError(
            f"{network.name} does not take a single image; only image classification networks "
            "can be trained"
        )
    # One process downloads for all.
    with PartialState(cpu=uses_cpu(device)).main_process_first():
        return datasets.load(
            config.name,
            usual_shape=usual.shape,
            input_shape=network.input[0].shape if network.input else None,
            root=Path(config.root),
            download=config.download,
            bad_images=config.bad_images,
            num_classes=network.num_classes,
            with_test=config.test,
        )


class Experiment:
    """A comparison, ready to run.

    Args:
        config: the whole configuration.
        data: its images; read if left out.

    Raises:
        InputError: parts of the configuration are incompatible.
    """

    def __init__(self, config: TrainingConfig, data: Data | None = None) -> None:
        self.data = data or load_data(config, config.data, device=config.device)
        if not config.placements:
            raise InputError("placements must not be empty; add one to compare with the baseline")
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
            for text in self.made.missing:
                progress.note(text)
            if self.data.skipped:
                progress.note(left_out(self.data.skipped))
            for origin, found in self._standings(folder, progress):
                if not found.is_finished:
                    self._train(folder, origin, found, progress)
        finally:
            folder.close()
        # Reread by all processes, since only one has written it.
        written = RunFolder(path, is_writer=False)
        return summarize(written, self.config, self.made, self.data)

    def _opened(self, path: Path, resume: bool) -> RunFolder:
        """Open the folder: the main process locks it before the others read it."""
        if self.is_main:
            folder = run_folder.reopen(path) if resume else run_folder.create(path, self.config)
        self.accelerator.wait_for_everyone()
        return folder if self.is_main else RunFolder(path, is_writer=False)

    def _standings(self, folder: RunFolder, progress: Progress) -> list[tuple[Origin, Standing]]:
        """Return the progress of each run, as found by the main process.

        Raises:
            InputError: a run was made from another configuration.
        """
        origins = [self._origin(arm, seed) for seed in self.config.seeds for arm in self.arms]
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

    def _origin(self, arm: Arm, seed: int) -> Origin:
        placement = self.config.placements.get(arm.of or arm.name)
        made_from = {
            **self.config.identity(),
            "weights": self.networks.fingerprint(),
            "arm": arm.kind,
            "placement": placement and placement.as_dict(),
        }
        return Origin(arm.name, seed, made_from, self.config.recipe, self._placement(arm))

    def _train(
        self, folder: RunFolder, origin: Origin, found: Standing, progress: Progress
    ) -> None:
        (arm,) = (arm for arm in self.arms if arm.name == origin.arm)
        seed = origin.seed
        network = self.networks.of(arm, seed)
        pretrained = self.networks.pretrained(network)
        run = Run(network, self.data, self.config, seed, self.accelerator, pretrained)
        if found.state is not None:
            _restore(run, found.state)
        folder.begin(arm.name, seed, found.evaluations)
        progress.run_started(arm.name, seed, run.step)

        def snapshot(step: int) -> None:
            if self.config.snapshots:
                folder.save_snapshot(arm.name, seed, step, network, origin.placement)

        timing = run.train(_Recorder(folder, origin, progress, self._told, snapshot))
        receipt = origin.receipt(folder.evaluations(arm.name, seed))
        folder.finish(arm.name, seed, network, origin.placement, asdict(timing), receipt)
        self.accelerator.wait_for_everyone()
        self.accelerator.free_memory()

    def _placement(self, arm: Arm) -> Placement | None:
        """Return an arm's placement with its network, for `bamctl insert`."""
        return arm.placement and arm.placement.with_network(self.config)


@dataclass(frozen=True)
class _Recorder(Watcher):
    """Observer that records a run in its folder."""

    folder: RunFolder
    origin: Origin
    progress: Progress
    told: set[str]
    snapshot: Callable[[int], None]

    def stepped(self, step: int, loss: float | None) -> None:
        self.progress.stepped(step, loss)

    def evaluated(self, evaluation: Evaluation) -> None:
        self.snapshot(evaluation.step)
        arm, seed = self.origin.arm, self.origin.seed
        self.folder.metrics.append(as_line(arm, seed, evaluation))
        self.progress.evaluated(arm, seed, evaluation)

    def keep(self, step: int, state: Callable[[], State]) -> None:
        arm, seed = self.origin.arm, self.origin.seed

        def named() -> State:
            receipt = self.origin.receipt(self.folder.evaluations(arm, seed))
            found = state()
            return replace(found, values={**found.values, "run": receipt})

        try:
            self.folder.save_state(arm, seed, step, named)
        except BamctlError as error:
            self.progress.note(
                f"checkpoint at step {step} not saved: {error}; the previous one is kept"
            )

    def skipped(self, files: tuple[str, ...]) -> None:
        # Every epoch encounters them again.
        new = tuple(file for file in files if file not in self.told)
        self.told.update(new)
        if new:
            self.progress.note(left_out(new))


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


def check_data(config: TrainingConfig, data: Data) -> TrainingConfig:
    """Check the images of a configuration, and return it with their fingerprint.

    Raises:
        InputError: their fingerprint differs from that of the configuration, or they are fewer than
            a batch.
    """
    num_images = len(data.train.labels)
    if config.recipe.batch_size > num_images:
        raise InputError(
            f"the training split has {num_images} images, fewer than a batch of "
            f"{config.recipe.batch_size}; try --batch-size {num_images}"
        )
    known, found = config.data.fingerprint, data.fingerprint()
    if known not in (None, found):
        raise InputError(
            f"the images of {config.data.name} have changed since the comparison was started; "
            "start a new one"
        )
    data_config = config.data.model_copy(update={"fingerprint": found})
    return config.model_copy(update={"data": data_config})
