"""`train`: compare a network without and with attention by short training runs."""

import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bamctl.attention.settings import Settings
from bamctl.errors import InputError, appended
from bamctl.networks import models
from bamctl.networks.inputs import InputsLike
from bamctl.networks.spec import NetworkSpec
from bamctl.networks.trust import trust
from bamctl.placement.placement import Placement, Stages, find
from bamctl.training import curves
from bamctl.training import plan as plans
from bamctl.training.arms import BASELINE
from bamctl.training.config import Device, TrainingConfig
from bamctl.training.experiment import Experiment
from bamctl.training.result import Result
from bamctl.training.run_folder import read_config
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
    weights: str | Path | None = None,
    data: str | Mapping[str, Any] = "digits",
    steps: int | None = None,
    epochs: int | None = None,
    max_minutes: float | None = None,
    freeze_backbone_epochs: int = 0,
    recipe: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    control: bool = False,
    snapshots: bool = False,
    device: Device = "auto",
    config: str | Path | None = None,
    resume: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Train a network without and with attention, seed by seed, and test the differences.

    Each seed gives one pair of runs that share data order, augmentation and the initial weights of
    their common layers. The verdicts are those of `bamctl.training.evidence.compare`.

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
        weights: published weights by name, or a file; attention then starts at `init=identity`.
        data: a data set by name or `folder:PATH`, or the keys of a `DataConfig`.
        steps: optimizer steps of a run; 150 if no length is given.
        epochs: the length of a run instead, in epochs.
        max_minutes: the length instead, as minutes for all runs together.
        freeze_backbone_epochs: epochs that train only the parameters that are not pretrained.
        recipe: further fields of a `Recipe`, such as `lr` and `batch_size`.
        seeds: runs of each arm; 5 if left out. With `resume`, as many in all.
        control: also compare with an extra block and with wider layers.
        snapshots: keep the weights at each evaluation.
        device: `auto`, or `cpu`.
        config: the configuration file of a comparison to repeat, in place of all of the above.
        resume: the folder of a comparison to resume, in place of all of the above.
        out: the folder of the comparison, which must not exist; `runs/MODEL-TIME` if left out.
        progress: receives events while it runs.

    Raises:
        InputError: an argument is invalid, or arguments are incompatible.
        BamctlError: writing to the folder fails; finished runs are kept.
    """
    if resume is not None:
        experiment = Experiment(_with_seeds(_read(Path(resume)), seeds))
    elif config is not None:
        loaded = TrainingConfig.load(Path(config))
        models.check_named_by(loaded.model, Path(config))
        experiment = Experiment(loaded)
    else:
        if model is not None:
            trust(model)
        options = {
            "input": input_shape,
            "num_classes": num_classes,
            "stem": stem,
            "args": args,
            "stages": stages,
            "attention": attention,
        }
        arms = _arms(model, where, placements, options)
        configured, images = plans.configure(
            _network(model, arms),
            data={"name": data} if isinstance(data, str) else data,
            recipe=recipe or {},
            steps=steps,
            epochs=epochs,
            freeze_backbone_epochs=freeze_backbone_epochs,
            weights=None if weights is None else str(weights),
            seeds=list(range(SEEDS if seeds is None else seeds)),
            control=control,
            snapshots=snapshots,
            device=device,
            placements={name: each.without_network() for name, each in arms.items()},
        )
        experiment = Experiment(configured, images)
        if max_minutes is not None:
            plans.fit(experiment, max_minutes, recipe or {})
    folder = Path(resume or out or _usual_folder(experiment.config))
    return _run(experiment, folder, progress or NullObserver(), resume=resume is not None)


def _read(folder: Path) -> TrainingConfig:
    config = read_config(folder)
    models.check_named_by(config.model, folder / "config.yaml")
    return config


def _with_seeds(config: TrainingConfig, count: int | None) -> TrainingConfig:
    """Return the configuration with `count` seeds: new ones follow the existing ones."""
    if count is None:
        return config
    if count < len(config.seeds):
        raise InputError(f"--seeds {count} is fewer than the existing {len(config.seeds)}")
    unused = (seed for seed in itertools.count() if seed not in config.seeds)
    more = itertools.islice(unused, count - len(config.seeds))
    return config.model_copy(update={"seeds": [*config.seeds, *more]})


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
    if model is None:
        models.check_named_by(placement.model, Path(file))
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
        curves.draw(result.metrics, means, folder)
    return result


def reported_again(folder: Path) -> str:
    """Return advice for an error after the runs, when only the report is missing."""
    return f"the runs are kept; `bamctl train --resume {folder}` rebuilds the report"
