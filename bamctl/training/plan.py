"""Completion of a request to a whole configuration, with every number explicit."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.files import schemas
from bamctl.networks.inputs import Input
from bamctl.networks.spec import NetworkSpec
from bamctl.networks.trust import trust
from bamctl.training.config import DataConfig, OwnLoop, TrainingConfig
from bamctl.training.recipe import Recipe
from bamctl.training.samples import load_data
from bamctl.training.start import Start, check_start, trunk_length
from bamctl.training.tasks.task import Usual
from bamctl.training.tasks.tasks import TASKS, task_named, usual_task

# A run warms up for a tenth of its steps.
WARMUP = 10
# A loop of one's own decides on its length; this is what it is told if nobody else does.
_OWN_STEPS = 100
# A learning rate for the schema; such a loop has its own.
_NO_RATE = 1.0

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
        "warmup_steps": steps // WARMUP,
        "eval_every": ceil(steps / usual.evaluations),
        "freeze_backbone_steps": frozen,
    }
    return schemas.from_options(Recipe, {**values, **given})
