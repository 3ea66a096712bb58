"""The length of runs that are given as minutes: a few steps are timed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from time import perf_counter
from typing import Any

from accelerate.utils import broadcast_object_list

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.training._runs import threads_of
from bamctl.training.arms import BASELINE
from bamctl.training.experiment import Experiment
from bamctl.training.loop import Run
from bamctl.training.plan import WARMUP
from bamctl.training.watching import NullObserver

_PROBED_STEPS = 4
# The rest of the minutes is for startup, tracing and plots.
_FOR_TRAINING = 0.9
# What a further run at a time adds, since runs share the machine's memory bandwidth.
_SIDE_BY_SIDE = 0.7


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
    evaluations = ceil(config.recipe.steps / config.recipe.eval_every)
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
        "warmup_steps": given.get("warmup_steps", steps // WARMUP),
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
