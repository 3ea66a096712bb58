"""`train`: compare a network without and with attention by short training runs."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bamctl.attention.settings import Settings
from bamctl.errors import InputError, appended
from bamctl.files import schemas
from bamctl.networks import models
from bamctl.networks.inputs import InputsLike
from bamctl.networks.spec import NetworkSpec
from bamctl.networks.trust import check_file
from bamctl.placement.placement import Placement, Stages
from bamctl.placement.requested import trust_named
from bamctl.placement.shipped import find
from bamctl.training import curves
from bamctl.training import plan as plans
from bamctl.training.arms import BASELINE
from bamctl.training.config import Device, TrainingConfig, Until
from bamctl.training.experiment import Experiment
from bamctl.training.minutes import fit
from bamctl.training.result import Result
from bamctl.training.run_folder import read_config
from bamctl.training.side_by_side import Places
from bamctl.training.start import Start, check_start
from bamctl.training.watching import NullObserver, Progress
from bamctl.trunk.strategies import DEFAULT_STRATEGY

SEEDS = 5


def train(
    model: str | None = None,
    *,
    where: str | Sequence[str] = (),
    placements: Sequence[str | Path] | Mapping[str, Placement] = (),
    attention: Settings | Mapping[str, Any] | None = None,
    input_shape: InputsLike | None = None,
    num_classes: int | None = None,
    stem: str | None = None,
    args: Mapping[str, Any] | None = None,
    stages: Stages | None = None,
    start: Start | None = None,
    trunk_steps: int | None = None,
    weights: str | Path | None = None,
    task: str | None = None,
    data: str | Mapping[str, Any] | None = None,
    loop: str | Mapping[str, Any] | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    max_minutes: float | None = None,
    freeze_backbone_epochs: int = 0,
    recipe: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    until: Literal["settled"] | None = None,
    max_seeds: int | None = None,
    margin: float | None = None,
    control: bool = False,
    snapshots: bool = False,
    device: Device = "auto",
    threads: int | None = None,
    engine: str = "local",
    workers: int | None = 1,
    address: str | None = None,
    gpus_per_run: float | None = None,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Train a network without and with attention, seed by seed, and test the differences.

    Each seed gives one pair of runs that share data order, augmentation and the initial weights of
    their common layers. The verdicts are those of `bamctl.training.evidence.compare`, which hold
    however often seeds are added.

    Args:
        model: a torchvision builder, `timm:NAME` or `package.module:factory`; that of the
            placements if left out.
        where: strategies, modules or globs; each is one arm. The paper's bottlenecks if neither
            this nor `placements` is given.
        placements: more arms: files or names of shipped placements, or placements by arm name.
        attention: module and hyperparameters, put over those of every arm.
        input_shape: channels, height and width; that of the data if left out.
        num_classes: classes of the head; those of the data if left out.
        stem: `small` for images of about 32x32, for a builder.
        args: more keyword arguments for the builder or factory.
        stages: how many bottlenecks, counted from the deepest, or `all`.
        start: `scratch` trains every arm from its initial weights: does attention help from the
            beginning? `trunk` trains the unmodified network for `trunk_steps` once for each seed,
            and inserts attention at `init=identity` in copies of it that train on, and `weights`
            inserts it in a pretrained network: does it help when it is added to a network that is
            trained on? `weights` where they are given, and `scratch` elsewhere, if left out.
        trunk_steps: the steps of the trunk, with `start="trunk"`; half of all if left out.
        weights: published weights by name, or a file; attention then starts at `init=identity`.
        task: `classification`, `segmentation`, `detection`, `instance-segmentation`, `keypoints`,
            `video`, `optical-flow`, or `package.module:factory`, a function that returns a
            `training.tasks.task.Task`; that of the network's family if left out.
        data: a data set by name or `folder:PATH`, or the keys of a `DataConfig`; that of the task,
            which needs no download, if left out.
        loop: a training loop of your own, as `package.module:function`, or the keys of an
            `OwnLoop`. It is called as `function(network, seed=…, steps=…, device=…, report=…)`,
            and returns what it reached: a number, or several by name.
        steps: optimizer steps of a run; those of the task if no length is given.
        epochs: the length of a run instead, in epochs.
        max_minutes: the length instead, as minutes for all runs together. With `until`, the time
            in which seeds are added.
        freeze_backbone_epochs: epochs that train only the parameters that are not pretrained.
        recipe: further fields of a `Recipe`, such as `lr` and `batch_size`.
        seeds: runs of each arm; 5 if left out. With `resume`, as many in all.
        until: `settled` adds seeds until every comparison has a verdict.
        max_seeds: the most seeds that `until` goes to; 50 if left out.
        margin: percentage points of accuracy, or a difference of another measure in its own unit;
            one that is shown to be smaller is called `equivalent`.
        control: also compare with an extra block and with wider layers.
        snapshots: keep the weights at each evaluation.
        device: `auto`, or `cpu`.
        threads: threads of a run on a CPU, on whose number results depend; 1 if left out.
        engine: `local` for processes of this machine, or `ray` for a Ray cluster. The results are
            the same, bit for bit on a CPU, wherever runs are executed.
        workers: runs at a time; one after the other if left out. None for as many as there is room
            for, if they take longer than the start of processes. More than one starts processes,
            so that a script needs the usual `if __name__ == "__main__":`.
        address: of the Ray cluster, `auto` or `HOST:PORT`.
        gpus_per_run: with Ray, GPUs of a run, such as 0.5.
        config: the configuration file of a comparison to repeat, in place of all of the above.
        resume: the folder of a comparison to resume, in place of all of the above.
        out: the folder of the comparison, which must not exist; `runs/MODEL-TIME` if left out.
        progress: receives events while it runs.

    Raises:
        InputError: an argument is invalid, or arguments are incompatible.
        BamctlError: writing to the folder fails; finished runs are kept.
    """
    stop = _until(until, seeds, max_seeds, max_minutes)
    places = Places(engine, workers, gpus_per_run or 0.0, address or "auto")
    if resume is not None:
        experiment = Experiment(_resumed(Path(resume), seeds, stop), places=places)
    elif config is not None:
        loaded = TrainingConfig.load(Path(config))
        _check_named_by(loaded, Path(config))
        experiment = Experiment(loaded, places=places)
    else:
        trust_named(attention, where)
        own = plans.named_code(model, task, loop)
        options = {
            "input": input_shape,
            "num_classes": num_classes,
            "stem": stem,
            "args": args,
            "stages": stages,
            "attention": attention,
        }
        arms = _arms(model, where, placements, options)
        minutes = None if stop else max_minutes
        start = check_start(start, trunk_steps=trunk_steps, weights=weights)
        configured, images = plans.configure(
            _network(model, arms),
            data={"name": data} if isinstance(data, str) else data or {},
            task=task,
            loop=own,
            recipe=recipe or {},
            steps=steps,
            epochs=epochs,
            freeze_backbone_epochs=freeze_backbone_epochs,
            start=start,
            # The steps that a trunk is a part of are not known before they are fitted.
            trunk_steps=trunk_steps if minutes is None else None,
            weights=None if weights is None else str(weights),
            seeds=list(range(SEEDS if seeds is None else seeds)),
            until=stop,
            margin=margin,
            control=control,
            snapshots=snapshots,
            device=device,
            threads=threads or 1,
            placements={name: each.without_network() for name, each in arms.items()},
        )
        experiment = Experiment(configured, images, places)
        if minutes is not None:
            fit(experiment, minutes, recipe or {}, trunk_steps)
    folder = Path(resume or out or _usual_folder(experiment.config))
    return _run(experiment, folder, progress or NullObserver(), resume=resume is not None)


def _read(folder: Path) -> TrainingConfig:
    config = read_config(folder)
    _check_named_by(config, folder / "config.yaml")
    return config


def _check_named_by(config: TrainingConfig, file: Path) -> None:
    """Refuse code that only the file of a configuration names, unless `trust` allows it."""
    models.check_named_by(config.model, file)
    for code in config.code():
        check_file(code, file)
    for placement in config.placements.values():
        placement.check_named_by(file, with_network=False)


def _resumed(folder: Path, seeds: int | None, until: Until | None) -> TrainingConfig:
    config = _read(folder)
    if until is not None:
        config = config.model_copy(update={"until": until})
    return config if seeds is None else config.with_seeds(seeds)


def _until(
    goal: Literal["settled"] | None,
    seeds: int | None,
    max_seeds: int | None,
    max_minutes: float | None,
) -> Until | None:
    if goal not in (None, "settled"):
        raise InputError(f"until is {goal!r}; use 'settled'")
    if max_seeds is not None and seeds is not None and max_seeds < seeds:
        raise InputError(f"--max-seeds {max_seeds} is fewer than --seeds {seeds}")
    if goal is None and max_seeds is not None:
        raise InputError("max_seeds limits the seeds that until=settled adds; give both")
    limits = {"max_seeds": max_seeds, "max_minutes": max_minutes}
    given = {name: value for name, value in limits.items() if value is not None}
    return None if goal is None else schemas.from_options(Until, given)


def _usual_folder(config: TrainingConfig) -> Path:
    name = config.model.replace(":", "-").replace("/", "-")
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _arms(
    model: str | None,
    where: str | Sequence[str],
    placements: Sequence[str | Path] | Mapping[str, Placement],
    options: Mapping[str, Any],
) -> dict[str, Placement]:
    """Return the placement of each arm, with the options put over it, by the name of the arm."""
    patterns = [where] if isinstance(where, str) else list(where)
    if not (patterns or placements):
        patterns = [DEFAULT_STRATEGY]
    bases = [(pattern, Placement(where=[pattern])) for pattern in patterns]
    if isinstance(placements, Mapping):
        bases += placements.items()
    else:
        bases += [_found(file, model) for file in placements]
    found: dict[str, Placement] = {}
    for name, base in bases:
        if name in found or name == BASELINE:
            raise InputError(f"duplicate arm name {name!r}; rename the placement file")
        found[name] = base.with_options(options)
    return found


def _found(file: str | Path, model: str | None) -> tuple[str, Placement]:
    placement = find(file)
    placement.check_named_by(Path(file), with_network=model is None)
    return Path(file).stem, placement


def _network(model: str | None, arms: Mapping[str, Placement]) -> NetworkSpec:
    """Return the network that the placements specify.

    Raises:
        InputError: they disagree, or none names a model.
    """
    about: dict[str, Any] = {} if model is None else {"model": model}
    for name, placement in arms.items():
        for field, value in placement.given().items():
            if field == "model" and model is not None:
                continue
            if about.setdefault(field, value) != value:
                raise InputError(f"{name}: {field} does not match that of the previous placement")
    if "model" not in about:
        raise InputError("no model: name one, as in `bamctl train resnet18`, or in the placement")
    models.check_name(about["model"])
    return NetworkSpec(**about)


def _run(experiment: Experiment, folder: Path, progress: Progress, *, resume: bool) -> Result:
    if not experiment.is_main:
        return experiment.run(folder, NullObserver(), resume=resume)
    progress.prepared(experiment.config, len(experiment.arms), folder)
    result = experiment.run(folder, progress, resume=resume)
    with appended(reported_again(folder)):
        means = {each.arm.name: each.curve for each in result.arms}
        curves.draw(result.metrics, means, result.config.measure, folder)
    return result


def reported_again(folder: Path) -> str:
    """Return advice for an error after the runs, when only the report is missing."""
    return f"the runs are kept; `bamctl train --resume {folder}` rebuilds the report"
