"""Completion of a request to a whole configuration, with every number explicit."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from typing import Any

from accelerate.utils import broadcast_object_list

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.files import schemas
from bamctl.networks.inputs import Input
from bamctl.networks.spec import NetworkSpec
from bamctl.networks.trust import trust
from bamctl.training._runs import threads_of
from bamctl.training.arms import BASELINE
from bamctl.training.config import DataConfig, OwnLoop, TrainingConfig
from bamctl.training.experiment import Experiment
from bamctl.training.loop import Run
from bamctl.training.recipe import Recipe
from bamctl.training.samples import load_data
from bamctl.training.start import Start, check_start, trunk_length
from bamctl.training.tasks.task import Usual
from bamctl.training.tasks.tasks import TASKS, task_named, usual_task
from bamctl.training.watching import NullObserver

_WARMUP = 10
_PROBED_STEPS = 4
# A loop of one's own decides on its length; this is what it is told if nobody else does.
_OWN_STEPS = 100
# A learning rate for the schema; such a loop has its own.
_NO_RATE = 1.0
# The rest of the minutes is for startup, tracing and plots.
_FOR_TRAINING = 0.9
# What a further run at a time adds, since runs share the machine's memory bandwidth.
_SIDE_BY_SIDE = 0.7

# Fine-tuning uses a tenth of the learning rate. With SGD that is scaled linearly to the batch
# (Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.1).
_FINE_TUNING = 0.1


def configure(
    network: NetworkSpec,
    *,
    data: Mapping[str, Any],
    recipe: Mapping[str, Any],
    task: str | None = None,
    loop: Mapping[str, Any] | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    freeze_backbone_epochs: int = 0,
    start: Start | None = None,
    trunk_steps: int | None = None,
    **fields: Any,
) -> tuple[TrainingConfig, Data | None]:
    """Return a whole configuration, with every number explicit, and its samples.

    Args:
        network: the network; its input and classes are those of the data if left out.
        data: fields of a `DataConfig`.
        recipe: fields of a `Recipe` that override the defaults of `usual_recipe`.
        task: a key of `TASKS` or a factory; that of the network's family if left out.
        loop: fields of an `OwnLoop`, which takes the place of data, recipe and task.
        steps: the length of a run, as for `usual_recipe`.
        epochs: the length instead, in epochs.
        freeze_backbone_epochs: epochs that train only the parameters that are not pretrained.
        start: where arms start, as for `bamctl.train`.
        trunk_steps: the steps of the trunk; half of all if left out.
        fields: further fields of a `TrainingConfig`.

    Raises:
        InputError: a value is invalid, or values are incompatible.
    """
    start = check_start(start, trunk_steps=trunk_steps, weights=fields.get("weights"))
    if loop is not None:
        _check_loop(data, recipe, task, epochs, freeze_backbone_epochs, start)
        own = _own_loop(network, loop, steps or _OWN_STEPS)
        return schemas.from_options(TrainingConfig, {**own, **network.given(), **fields}), None
    name = task or usual_task(network)
    found = task_named(name)
    data_config = schemas.from_options(DataConfig, {"name": found.usual.data, **data})
    samples = load_data(network, data_config, name, device=fields.get("device", "auto"))
    chosen = usual_recipe(
        recipe,
        samples,
        usual=found.usual,
        steps=steps,
        epochs=epochs,
        pretrained=fields.get("weights") is not None,
        freeze_backbone_epochs=freeze_backbone_epochs,
    )
    trunk = trunk_length(start, trunk_steps, chosen.steps)
    frozen = chosen.freeze_backbone_steps
    if trunk and frozen >= chosen.steps - trunk:
        raise InputError(
            f"the backbone would be frozen for all of the {chosen.steps - trunk} steps after the "
            "trunk; train longer"
        )
    values = {
        "task": name,
        "trunk_steps": trunk,
        "input": (Input(samples.input_shape),),
        **_with_args(found.network_options(network, samples), network),
        "data": data_config,
        "recipe": chosen,
        **fields,
    }
    return schemas.from_options(TrainingConfig, values), samples


def named_code(
    model: str | None, task: str | None, loop: str | Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Trust the code that a caller names, and return the fields of an `OwnLoop`."""
    own = {"function": loop} if isinstance(loop, str) else loop
    trust(*filter(None, (model, task, own and own["function"])))
    return own


def _with_args(usual: Mapping[str, Any], network: NetworkSpec) -> dict[str, Any]:
    """Return the fields of a network, over those that a data set needs."""
    given = network.given()
    args = {**usual.get("args", {}), **given.get("args", {})}
    return {**usual, **given, "args": args}


def _own_loop(network: NetworkSpec, loop: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return the fields of a configuration for a loop that brings everything else."""
    recipe = schemas.from_options(Recipe, {"steps": steps, "eval_every": steps, "lr": _NO_RATE})
    return {"loop": schemas.from_options(OwnLoop, loop), "input": network.inputs, "recipe": recipe}


def _check_loop(
    data: Mapping[str, Any],
    recipe: Mapping[str, Any],
    task: str | None,
    epochs: int | None,
    freeze_backbone_epochs: int,
    start: Start,
) -> None:
    """Refuse what a loop of one's own decides by itself.

    Raises:
        InputError: there is such an option.
    """
    options = {"task": task, "epochs": epochs, "freeze_backbone_epochs": freeze_backbone_epochs}
    said = [*data, *recipe, *(name for name, value in options.items() if value)]
    if said:
        option = "data" if said[0] == "name" else said[0].replace("_", "-")
        raise InputError(f"--train names a loop of your own, which decides on --{option}; drop one")
    if start == "trunk":
        raise InputError("--start trunk is for bamctl's own training; drop it, or --train")


def _evaluations(config: TrainingConfig) -> int:
    """Return how often a run is evaluated."""
    return ceil(config.recipe.steps / config.recipe.eval_every)


def usual_recipe(
    given: Mapping[str, Any],
    data: Data,
    *,
    usual: Usual = TASKS["classification"].usual,
    steps: int | None = None,
    epochs: int | None = None,
    pretrained: bool = False,
    freeze_backbone_epochs: int = 0,
) -> Recipe:
    """Return a recipe with every number explicit.

    Args:
        given: fields of a `Recipe` that override the defaults.
        data: the data set, whose size is that of an epoch.
        usual: the defaults of the task.
        steps: number of steps; those of the task if neither this nor `epochs` is passed.
        epochs: number of epochs instead.
        pretrained: whether the networks start from weights.
        freeze_backbone_epochs: epochs with the pretrained parameters frozen.

    Raises:
        InputError: the numbers are incompatible.
    """
    given = {**usual.recipe, **given}
    batch_size = given.get("batch_size", usual.batch_size)
    per_epoch = max(len(data.train) // batch_size, 1)
    steps = steps or (epochs or 0) * per_epoch or usual.steps
    frozen = freeze_backbone_epochs * per_epoch
    if frozen >= steps:
        raise InputError(
            f"the backbone would be frozen for {frozen} of {steps} steps; train longer, with "
            f"--epochs {2 * freeze_backbone_epochs} or more"
        )
    is_scaled = given.get("optimizer", "sgd") == "sgd"
    lr = usual.lr * batch_size / usual.lr_batch if is_scaled else usual.lr
    values = {
        "batch_size": batch_size,
        "steps": steps,
        "lr": lr * (_FINE_TUNING if pretrained else 1),
        "warmup_steps": steps // _WARMUP,
        "eval_every": ceil(steps / usual.evaluations),
        "freeze_backbone_steps": frozen,
    }
    return schemas.from_options(Recipe, {**values, **given})


def fit(
    experiment: Experiment,
    minutes: float,
    given: Mapping[str, Any],
    trunk_steps: int | None = None,
) -> None:
    """Set the steps of an experiment's runs, all equal, to fit into some minutes.

    A few steps of each arm are timed, on networks that are discarded. Fields of the recipe in
    `given` are kept, and the steps of a trunk if they are passed; otherwise its share is kept.

    Raises:
        InputError: not even one step for each evaluation fits, the backbone would be frozen
            throughout, or no step is left after the trunk.
    """
    config, data = experiment.config, experiment.data
    if data is None:
        raise InputError("--max-minutes needs bamctl's own training; give --steps with --train")
    trunk = 0.0 if trunk_steps else config.trunk_steps / config.recipe.steps
    evaluations = _evaluations(config)
    probed = _probed(experiment, data, trunk)
    available = minutes * 60 * _FOR_TRAINING / len(config.seeds) * _at_a_time(experiment)
    spared = (trunk_steps or 0) * probed.shared
    steps = int((available - evaluations * probed.other + spared) / probed.step)
    if steps < evaluations:
        needed = (evaluations * (probed.step + probed.other)) * len(config.seeds)
        raise InputError(
            f"{len(config.seeds)} seeds of {len(experiment.arms)} arms do not fit in {minutes:g} "
            f"minutes; use --max-minutes {ceil(needed / 60 / _FOR_TRAINING) + 1} or fewer seeds"
        )
    parted_at = trunk_steps or int(trunk * steps)
    if parted_at >= steps:
        raise InputError(
            f"{minutes:g} minutes leave no step to the arms after a trunk of {parted_at}; give "
            "more --max-minutes or fewer --trunk-steps"
        )
    if steps - parted_at <= config.recipe.freeze_backbone_steps:
        raise InputError(
            f"{minutes:g} minutes are {steps} steps, and the backbone would be frozen for "
            f"{config.recipe.freeze_backbone_steps}; give more --max-minutes"
        )
    # Timings differ between processes, and all must run the same number of steps.
    steps, parted_at = broadcast_object_list([steps, parted_at])
    changed = {
        "steps": steps,
        "warmup_steps": given.get("warmup_steps", steps // _WARMUP),
        "eval_every": given.get("eval_every", ceil(steps / evaluations)),
    }
    recipe = config.recipe.model_copy(update=changed)
    changed = {"recipe": recipe, "trunk_steps": parted_at}
    experiment.config = config.model_copy(update=changed)


@dataclass
class _Seconds:
    """Times of one seed: of a step of all its runs, and of everything else in them.

    `shared` is the part of a step that a trunk spares: that of all arms but the baseline.
    """

    step: float = 0.0
    shared: float = 0.0
    other: float = 0.0


def _probed(experiment: Experiment, data: Data, trunk: float) -> _Seconds:
    """Time a few steps of each arm, of which a trunk takes this share."""
    config = experiment.config
    recipe = config.recipe.model_copy(
        update={"steps": _PROBED_STEPS, "eval_every": _PROBED_STEPS, "freeze_backbone_steps": 0}
    )
    short = config.model_copy(update={"recipe": recipe, "trunk_steps": 0})
    seconds = _Seconds()
    for arm in experiment.arms:
        started = perf_counter()
        network = experiment.networks.of(arm, config.seeds[0])
        run = Run(network, data, short, config.seeds[0], experiment.accelerator)
        with threads_of(config):
            timing = run.train(NullObserver())
        experiment.accelerator.free_memory()
        if arm.name == BASELINE:
            seconds.step += timing.seconds_per_step
        else:
            seconds.step += (1 - trunk) * timing.seconds_per_step
            seconds.shared += timing.seconds_per_step
        whole = perf_counter() - started
        seconds.other += whole - _PROBED_STEPS * timing.seconds_per_step
    return seconds


def _at_a_time(experiment: Experiment) -> float:
    """Return how many runs' work is done at a time."""
    slots, config = 1, experiment.config
    if experiment.accelerator.num_processes == 1 and experiment.places.engine == "local":
        slots = min(experiment.places.local_slots(config), len(config.seeds) * len(experiment.arms))
    return 1 + (slots - 1) * _SIDE_BY_SIDE
