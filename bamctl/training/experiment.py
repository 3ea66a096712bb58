"""A comparison from start to end: every arm with every seed, and what that says."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, Protocol

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list

from bamctl import data as datasets
from bamctl import models
from bamctl.data import Data
from bamctl.data.images import left_out
from bamctl.errors import BamctlError, InputError
from bamctl.evidence import Evidence, compare
from bamctl.placement import Placement
from bamctl.tracing import Trace
from bamctl.training import run_folder
from bamctl.training.arms import BASELINE, Arm, Arms, Networks, make_arms
from bamctl.training.config import NETWORK_FIELDS, DataConfig, TrainingConfig
from bamctl.training.loop import Evaluation, Run, Watcher, accelerator_for, as_line, uses_cpu
from bamctl.training.run_folder import RunFolder
from bamctl.training.state import State


class Progress(Protocol):
    """Who follows a whole comparison."""

    def run_started(self, arm: str, seed: int, step: int) -> None:
        """An arm is trained with a seed, from a step on."""

    def stepped(self, step: int, loss: float | None) -> None:
        """A step is done, the loss being known every few steps."""

    def evaluated(self, arm: str, seed: int, evaluation: Evaluation) -> None:
        """An evaluation is done, and written down."""

    def note(self, text: str) -> None:
        """Something that a person should know, such as an image that is left out."""


class Nobody:
    """Follows a run or a whole comparison, and does nothing."""

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *told: None


@dataclass(frozen=True)
class ArmResult:
    """What became of an arm.

    `accuracy` is of the held-out images after the last step, one for each seed; so is
    `test_accuracy`, where it was asked for. `curve` has the mean over the seeds at each
    evaluation, by step. `diverged` counts the runs that did, which are counted as guessing.
    """

    arm: Arm
    accuracy: tuple[float, ...]
    test_accuracy: tuple[float, ...]
    curve: dict[int, float]
    diverged: int
    seconds_per_step: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Comparison:
    """One arm against another."""

    arm: str
    baseline: str
    evidence: Evidence


@dataclass(frozen=True)
class Result:
    """What a comparison has found."""

    folder: Path
    config: TrainingConfig
    trace: Trace
    num_train: int
    num_held_out: int
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    missing: tuple[str, ...]
    metrics: tuple[dict[str, Any], ...]


def load_data(
    model: str,
    config: DataConfig,
    *,
    num_classes: int | None = None,
    input_shape: Iterable[int] | None = None,
    device: str = "auto",
) -> Data:
    """The images of a configuration, at the size that a network takes.

    Raises:
        InputError: they are not there, cannot be read, or do not fit the network.
    """
    (usual, *more) = models.default_inputs(model)
    if more or len(usual.shape) != 3:
        raise InputError(f"{model} takes more than an image; train takes networks that classify")
    # What one process of several downloads is there for the others.
    with PartialState(cpu=uses_cpu(device)).main_process_first():
        return datasets.load(
            config.name,
            usual_shape=usual.shape,
            input_shape=None if input_shape is None else tuple(input_shape),
            root=Path(config.root),
            download=config.download,
            bad_images=config.bad_images,
            num_classes=num_classes,
            with_test=config.test,
        )


class Experiment:
    """A comparison that is ready to run.

    Args:
        config: all of it.
        data: its images; read where left out.

    Raises:
        InputError: something of it does not go together.
    """

    def __init__(self, config: TrainingConfig, data: Data | None = None) -> None:
        self.data = data or load_data(
            config.model,
            config.data,
            num_classes=config.num_classes,
            input_shape=config.input[0].shape,
            device=config.device,
        )
        _check_batch(config, len(self.data.train.labels))
        self.networks = Networks(config)
        made: Arms = make_arms(config, self.networks.baseline(config.seeds[0]))
        self.trace, self.arms, self.missing = made.trace, made.arms, made.missing
        # With its sites written out it means the same in any version.
        pinned = {a.name: _without_network(a) for a in self.arms if a.kind == "placement"}
        self.config = config.model_copy(update={"placements": pinned})
        self.accelerator: Accelerator = accelerator_for(config)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return bool(self.accelerator.is_main_process)

    def run(self, path: Path, progress: Progress, *, resume: bool = False) -> Result:
        """Train what is not trained yet, and judge.

        Args:
            path: the folder of the comparison; it must not be there, or hold a part of it.
            progress: who follows it.
            resume: whether the folder is one to go on with.

        Raises:
            InputError: the folder cannot be used.
            BamctlError: it cannot be written any more.
        """
        # Every process has its own clock, and may have named the folder by it.
        (path,) = broadcast_object_list([path])
        if self.is_main:
            write = run_folder.rewrite if resume else run_folder.create
            write(path, self.config)
        self.accelerator.wait_for_everyone()
        folder = RunFolder(path, is_writer=self.is_main)
        try:
            for text in self.missing:
                progress.note(text)
            if self.data.skipped:
                progress.note(left_out(self.data.skipped))
            for seed in self.config.seeds:
                for arm in self.arms:
                    if not folder.is_finished(arm.name, seed):
                        self._train(folder, arm, seed, progress)
        finally:
            folder.close()
        # Read anew, since only one process has written it.
        return self._result(RunFolder(path, is_writer=False))

    def _train(self, folder: RunFolder, arm: Arm, seed: int, progress: Progress) -> None:
        network = self.networks.of(arm, seed)
        pretrained = self.networks.pretrained(network)
        run = Run(network, self.data, self.config, seed, self.accelerator, pretrained)
        kept, damaged = folder.last_state(arm.name, seed)
        for text in damaged:
            progress.note(f"{text}; going on from the one before")
        if kept is not None:
            run.restore(kept)
        progress.run_started(arm.name, seed, run.step)
        timing = run.train(_Recorder(folder, arm.name, seed, progress))
        folder.finish(arm.name, seed, network, self._placement(arm), asdict(timing))
        self.accelerator.wait_for_everyone()
        self.accelerator.free_memory()

    def _placement(self, arm: Arm) -> Placement | None:
        """An arm's placement together with its network, for `bamctl insert`."""
        about = {field: getattr(self.config, field) for field in NETWORK_FIELDS}
        return arm.placement and arm.placement.model_copy(update=about)

    def _result(self, folder: RunFolder) -> Result:
        arms = tuple(self._arm_result(folder, arm) for arm in self.arms)
        by_name = {each.arm.name: each for each in arms}
        pairs = _pairs(self.arms)
        found = compare(
            {
                f"{arm} {baseline}": (by_name[baseline].accuracy, by_name[arm].accuracy)
                for arm, baseline in pairs
            },
            resolution=1 / len(self.data.held_out.labels),
        )
        return Result(
            folder=folder.path,
            config=self.config,
            trace=self.trace,
            num_train=len(self.data.train.labels),
            num_held_out=len(self.data.held_out.labels),
            arms=arms,
            comparisons=tuple(Comparison(a, b, found[f"{a} {b}"]) for a, b in pairs),
            missing=self.missing,
            metrics=tuple(folder.metrics.lines),
        )

    def _arm_result(self, folder: RunFolder, arm: Arm) -> ArmResult:
        lines = [line for line in folder.metrics.lines if line["arm"] == arm.name]
        by_seed = [[line for line in lines if line["seed"] == seed] for seed in self.config.seeds]
        last = [max(own, key=_step) for own in by_seed]
        timing = [line for line in folder.timing.lines if line["arm"] == arm.name]
        return ArmResult(
            arm=arm,
            accuracy=tuple(line["accuracy"] for line in last),
            test_accuracy=tuple(line["test_accuracy"] for line in last if "test_accuracy" in line),
            curve=_mean_curve(by_seed, self.config),
            diverged=sum(line["diverged"] for line in last),
            seconds_per_step=median(line["seconds_per_step"] for line in timing),
            peak_memory_bytes=max(line["peak_memory_bytes"] for line in timing),
        )


@dataclass(frozen=True)
class _Recorder(Watcher):
    """Writes down what a run does."""

    folder: RunFolder
    arm: str
    seed: int
    progress: Progress

    def stepped(self, step: int, loss: float | None) -> None:
        self.progress.stepped(step, loss)

    def evaluated(self, evaluation: Evaluation) -> None:
        self.folder.metrics.append(as_line(self.arm, self.seed, evaluation))
        self.progress.evaluated(self.arm, self.seed, evaluation)

    def keep(self, step: int, state: Callable[[], State]) -> None:
        try:
            self.folder.save_state(self.arm, self.seed, step, state)
        except BamctlError as error:
            self.progress.note(f"no checkpoint at step {step}: {error}; the one before stays")

    def skipped(self, files: tuple[str, ...]) -> None:
        self.progress.note(left_out(files))


def _step(line: Mapping[str, Any]) -> int:
    return int(line["step"])


def _mean_curve(by_seed: list[list[dict[str, Any]]], config: TrainingConfig) -> dict[int, float]:
    """The mean over the seeds at each evaluation; a run that diverged stays where it ended."""
    recipe = config.recipe
    steps = [*range(recipe.eval_every, recipe.steps, recipe.eval_every), recipe.steps]

    def at(lines: list[dict[str, Any]], step: int) -> float:
        before = [line for line in lines if line["step"] <= step]
        return float((before or lines)[-1]["accuracy"])

    return {step: mean(at(lines, step) for lines in by_seed) for step in steps}


def _pairs(arms: Iterable[Arm]) -> list[tuple[str, str]]:
    """What is compared: each placement with the baseline and with its controls."""
    return [
        (arm.name, BASELINE) if arm.of is None else (arm.of, arm.name)
        for arm in arms
        if arm.kind != "baseline"
    ]


def _without_network(arm: Arm) -> Placement:
    """An arm's placement without what it says of the network, which stands once for all."""
    assert arm.placement is not None
    data = {k: v for k, v in arm.placement.as_dict().items() if k not in NETWORK_FIELDS}
    return Placement.from_options(data)


def _check_batch(config: TrainingConfig, num_images: int) -> None:
    if config.recipe.batch_size > num_images:
        raise InputError(
            f"the training split has {num_images} images, fewer than a batch of "
            f"{config.recipe.batch_size}; try --batch-size {num_images}"
        )
