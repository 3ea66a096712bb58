"""Completion of a request to a whole configuration, with every number explicit."""

from collections.abc import Mapping
from math import ceil
from time import perf_counter
from typing import Any

from accelerate.utils import broadcast_object_list

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.files import schemas
from bamctl.networks.inputs import Input
from bamctl.networks.spec import NetworkSpec
from bamctl.training.config import DataConfig, Recipe, TrainingConfig
from bamctl.training.experiment import Experiment, load_data
from bamctl.training.loop import Run
from bamctl.training.watching import NullObserver

_DEFAULT_STEPS = 150
_EVALUATIONS = 5
_WARMUP = 10
_PROBED_STEPS = 4
# The rest of the minutes is for startup, tracing and plots.
_FOR_TRAINING = 0.9

# The authors' learning rate is for a batch of 256, and is scaled linearly to others (Goyal et al.
# 2017, "Accurate, Large Minibatch SGD", section 2.1). Fine-tuning uses a tenth of it.
_LR, _LR_BATCH = 0.1, 256


def configure(
    network: NetworkSpec,
    *,
    data: Mapping[str, Any],
    recipe: Mapping[str, Any],
    steps: int | None = None,
    epochs: int | None = None,
    freeze_backbone_epochs: int = 0,
    **fields: Any,
) -> tuple[TrainingConfig, Data]:
    """Return a whole configuration, with every number explicit, and its images.

    Args:
        network: the network; its input and classes are those of the data if left out.
        data: fields of a `DataConfig`.
        recipe: fields of a `Recipe` that override the defaults of `usual_recipe`.
        steps: the length of a run, as for `usual_recipe`.
        epochs: the length instead, in epochs.
        freeze_backbone_epochs: epochs that train only the parameters that are not pretrained.
        fields: further fields of a `TrainingConfig`.

    Raises:
        InputError: a value is invalid, or values are incompatible.
    """
    data_config = schemas.from_options(DataConfig, data)
    images = load_data(network, data_config, device=fields.get("device", "auto"))
    chosen = usual_recipe(
        recipe,
        images,
        steps=steps,
        epochs=epochs,
        pretrained=fields.get("weights") is not None,
        freeze_backbone_epochs=freeze_backbone_epochs,
    )
    values = {
        "num_classes": len(images.classes),
        "input": (Input(images.input_shape),),
        **network.given(),
        "data": data_config,
        "recipe": chosen,
        **fields,
    }
    return schemas.from_options(TrainingConfig, values), images


def usual_recipe(
    given: Mapping[str, Any],
    data: Data,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    pretrained: bool = False,
    freeze_backbone_epochs: int = 0,
) -> Recipe:
    """Return a recipe with every number explicit.

    Args:
        given: fields of a `Recipe` that override the defaults.
        data: the data set, whose size is that of an epoch.
        steps: number of steps; 150 if neither this nor `epochs` is passed.
        epochs: number of epochs instead.
        pretrained: whether the networks start from weights.
        freeze_backbone_epochs: epochs with the pretrained parameters frozen.

    Raises:
        InputError: the numbers are incompatible.
    """
    batch_size = given.get("batch_size", Recipe.model_fields["batch_size"].default)
    per_epoch = max(len(data.train.labels) // batch_size, 1)
    steps = steps or (epochs or 0) * per_epoch or _DEFAULT_STEPS
    frozen = freeze_backbone_epochs * per_epoch
    if frozen >= steps:
        raise InputError(
            f"the backbone would be frozen for {frozen} of {steps} steps; train longer, with "
            f"--epochs {2 * freeze_backbone_epochs} or more"
        )
    usual = {
        "steps": steps,
        "lr": _LR * batch_size / _LR_BATCH * (0.1 if pretrained else 1),
        "warmup_steps": steps // _WARMUP,
        "eval_every": ceil(steps / _EVALUATIONS),
        "freeze_backbone_steps": frozen,
    }
    return schemas.from_options(Recipe, {**usual, **given})


def fit(experiment: Experiment, minutes: float, given: Mapping[str, Any]) -> None:
    """Set the steps of an experiment's runs, all equal, to fit into some minutes.

    A few steps of each arm are timed, on networks that are discarded. Fields of the recipe in
    `given` are kept.

    Raises:
        InputError: not even one step for each evaluation fits, or the backbone would be frozen
            throughout.
    """
    config = experiment.config
    evaluations = _EVALUATIONS
    probe = config.recipe.model_copy(
        update={"steps": _PROBED_STEPS, "eval_every": _PROBED_STEPS, "freeze_backbone_steps": 0}
    )
    probed = config.model_copy(update={"recipe": probe})
    step_seconds, other_seconds = 0.0, 0.0
    for arm in experiment.arms:
        started = perf_counter()
        network = experiment.networks.of(arm, config.seeds[0])
        run = Run(network, experiment.data, probed, config.seeds[0], experiment.accelerator)
        timing = run.train(NullObserver())
        experiment.accelerator.free_memory()
        step_seconds += timing.seconds_per_step
        whole = perf_counter() - started
        other_seconds += whole - _PROBED_STEPS * timing.seconds_per_step
    available = minutes * 60 * _FOR_TRAINING / len(config.seeds)
    steps = int((available - evaluations * other_seconds) / step_seconds)
    if steps < evaluations:
        needed = (evaluations * (step_seconds + other_seconds)) * len(config.seeds)
        raise InputError(
            f"{len(config.seeds)} seeds of {len(experiment.arms)} arms do not fit in {minutes:g} "
            f"minutes; use --max-minutes {ceil(needed / 60 / _FOR_TRAINING) + 1} or fewer seeds"
        )
    if steps <= config.recipe.freeze_backbone_steps:
        raise InputError(
            f"{minutes:g} minutes allow {steps} steps, and the backbone would be frozen for "
            f"{config.recipe.freeze_backbone_steps}; increase --max-minutes"
        )
    # Timings differ between processes, and all must run the same number of steps.
    (steps,) = broadcast_object_list([steps])
    changed = {
        "steps": steps,
        "warmup_steps": given.get("warmup_steps", steps // _WARMUP),
        "eval_every": given.get("eval_every", ceil(steps / evaluations)),
    }
    recipe = config.recipe.model_copy(update=changed)
    experiment.config = config.model_copy(update={"recipe": recipe})
