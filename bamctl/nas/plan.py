"""The plan of a search: its whole configuration, and every candidate priced, without training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from bamctl.attention.kinds import in_order
from bamctl.errors import InputError
from bamctl.files import schemas
from bamctl.nas import folder as folders
from bamctl.nas.choices import Choices
from bamctl.nas.config import SearchConfig
from bamctl.nas.goals import parse_budget
from bamctl.nas.setup import SearchSetup, set_up
from bamctl.networks import models
from bamctl.networks.inputs import InputsLike
from bamctl.networks.spec import NetworkSpec
from bamctl.networks.trust import check_file
from bamctl.placement.placement import Stages
from bamctl.placement.requested import trust_named
from bamctl.training import plan as plans
from bamctl.training.config import Device
from bamctl.training.start import Start, check_start

STEPS, TRIALS, RUNGS = 50, 24, 3
SEEDS = 2
# All runs that choose take this many times the steps of one, unless the trials take more; then the
# race has at least a third of all.
_RUNS, _RACED_SHARE = 40, 1 / 3


def plan(
    model: str | None = None,
    *,
    budget: Mapping[str, str] | Sequence[str] = (),
    objectives: Sequence[str] = ("params",),
    space: Mapping[str, Any] | None = None,
    input_shape: InputsLike | None = None,
    num_classes: int | None = None,
    stem: str | None = None,
    args: Mapping[str, Any] | None = None,
    stages: Stages | None = None,
    task: str | None = None,
    data: str | Mapping[str, Any] | None = None,
    loop: str | Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    steps: int | None = None,
    max_steps: int | None = None,
    max_minutes: float | None = None,
    start: Start | None = None,
    trunk_steps: int | None = None,
    recipe: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    trials: int | None = None,
    exhaustive: bool = False,
    sampler: str | None = None,
    seed: int | None = None,
    halving: int | None = None,
    confirm_seeds: int | None = None,
    confirm_start: Literal["scratch"] | None = None,
    device: Device = "auto",
    storage: str | None = None,
    study: str | None = None,
    resume: str | Path | None = None,
) -> SearchSetup:
    """Price every candidate of a search, without training.

    Args:
        model: a torchvision builder, `timm:NAME` or `package.module:factory`.
        budget: limits by figure, such as `{"params": "+2 %"}`, or texts such as `params=+2%`.
        objectives: figures to minimize in addition to the error, such as `latency@rtx3090`.
        space: keys of `Choices`: candidate points, modules and hyperparameters.
        input_shape: channels, height and width; that of the data if left out.
        num_classes: classes of the head; those of the data if left out.
        stem: `small` for images of about 32x32, for a builder.
        args: more keyword arguments for the builder or factory.
        stages: how many bottlenecks, counted from the deepest, or `all`.
        task: what is trained, as for `bamctl.train`.
        data: a data set by name or `folder:PATH`, or the keys of a `DataConfig`; that of the task
            if left out.
        loop: a training loop of your own, as for `bamctl.train`.
        weights: published weights by name, or a file, which candidates and trunks start from.
        steps: optimizer steps of a run; 50 if left out.
        max_steps: optimizer steps of all runs that choose, with their trunks. What the trials
            leave is raced with: seeds for the candidates that are not ruled out. 40 times `steps`
            if left out, or half more than the trials take; with `halving`, no race is run.
        max_minutes: no trial and no round of the race is begun later; the confirmation follows.
        start: where candidates start, as for `bamctl.train`; `trunk` if left out. With `halving`
            and with a loop of your own, `weights` where they are given, and `scratch` elsewhere.
        trunk_steps: the steps of the trunk; half of all if left out.
        recipe: further fields of a `Recipe`, such as `lr` and `batch_size`.
        seeds: runs of each candidate in its trial; 2 if left out, and 1 with `halving`.
        trials: how many candidates are trained; 24 if left out. With `resume`, as many in all.
        exhaustive: train every candidate within the budgets instead.
        sampler: `tpe`, `nsga2` or `random`; `tpe` if left out.
        seed: the sampler's seed; 0 if left out.
        halving: the factor of successive halving, over three rungs; none if left out.
        confirm_seeds: fresh seeds to judge the front by; 5 if left out.
        confirm_start: `scratch` judges the front from scratch, though trunks found it: does it
            help from the beginning?
        device: `auto`, or `cpu`.
        storage: the URL of an Optuna storage; SQLite in the folder of the search if left out.
        study: the name of the study in that storage.
        resume: the folder of a search to resume, in place of all but `trials` and `confirm_seeds`.

    Raises:
        InputError: an argument is invalid, or no candidate is within the budgets.
    """
    if resume is not None:
        return _resumed(Path(resume), trials, confirm_seeds)
    if not model:
        raise InputError("no model: name one, as in `bamctl search resnet18`")
    chosen = {**(space or {}), **({} if stages is None else {"stages": stages})}
    for kind in chosen.get("module", ()):
        trust_named({"module": kind})
    own = plans.named_code(model, task, loop)
    network = {"input": input_shape, "num_classes": num_classes, "stem": stem, "args": args}
    if start is None and not (halving or loop or steps == 1):
        start = "trunk"
    start = check_start(start, trunk_steps=trunk_steps, weights=weights)
    _check_halving(halving, start, max_steps)
    if start != "scratch":
        _check_identity(chosen.setdefault("init", "identity"), start)
    choices = schemas.from_options(Choices, chosen)
    training, images = plans.configure(
        _spec(model, network),
        data={"name": data} if isinstance(data, str) else data or {},
        recipe=recipe or {},
        task=task,
        loop=own,
        weights=None if weights is None else str(weights),
        steps=steps or STEPS,
        start=start,
        trunk_steps=trunk_steps,
        seeds=list(range(seeds or (1 if halving else SEEDS))),
        device=device,
    )
    given = {
        "sampler": sampler,
        "seed": seed,
        "halving": halving,
        "rungs": RUNGS if halving else None,
        "confirm_seeds": confirm_seeds,
        "confirm_start": confirm_start,
        "max_minutes": max_minutes,
        "storage": storage,
        "study": study,
    }
    config = schemas.from_options(
        SearchConfig,
        {
            "training": training,
            "space": choices,
            "budget": _limits(budget),
            "objectives": list(objectives),
            "trials": trials or TRIALS,
            **{name: value for name, value in given.items() if value is not None},
        },
    )
    setup = set_up(config, images)
    setup = _of_every_candidate(setup) if exhaustive else setup
    return setup if halving else _with_race(setup, max_steps)


def _check_halving(halving: int | None, start: Start, max_steps: int | None) -> None:
    """Refuse successive halving together with what it has no use for.

    Raises:
        InputError: steps for a race are given, or candidates start at a trunk.
    """
    if halving and max_steps is not None:
        raise InputError("--halving runs no race, which --max-steps is for; drop one of them")
    if halving and start == "trunk":
        raise InputError("--halving shortens runs, which --start trunk cannot; leave one out")


def _check_identity(init: str, start: Start) -> None:
    """Refuse modules that do not start as the identity in a network that has been trained.

    Raises:
        InputError: `init` is another one.
    """
    if init != "identity":
        source = "the trunk has" if start == "trunk" else "the weights have"
        raise InputError(
            f"--init {init} would change what {source} learned; candidates start at identity, or "
            "with --start scratch"
        )


def _limits(budget: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Return the limits of a budget by goal."""
    texts = [f"{k}={v}" for k, v in budget.items()] if isinstance(budget, Mapping) else budget
    return {str(goal): limit.text for goal, limit in map(parse_budget, texts)}


def _with_race(setup: SearchSetup, max_steps: int | None) -> SearchSetup:
    """Return the search with the steps of all its runs.

    Raises:
        InputError: the trials take more.
    """
    config = setup.config
    trials = config.steps_of_trials()
    if max_steps is not None and max_steps < trials:
        fitting = config.trials * max_steps // trials
        raise InputError(
            f"{config.trials} trials take {trials:,} steps, more than --max-steps {max_steps}; try "
            f"--trials {max(fitting - 1, 1)}"
        )
    usual = max(_RUNS * config.training.recipe.steps, round(trials / (1 - _RACED_SHARE)))
    changed = {"max_steps": usual if max_steps is None else max_steps}
    return replace(setup, config=config.model_copy(update=changed))


def _spec(model: str, network: Mapping[str, Any]) -> NetworkSpec:
    given = {name: value for name, value in network.items() if value is not None}
    return schemas.from_options(NetworkSpec, {"model": models.check_name(model), **given})


def _resumed(folder: Path, trials: int | None, confirm_seeds: int | None) -> SearchSetup:
    config = folders.read_config(folder)
    file = folder / "config.yaml"
    models.check_named_by(config.training.model, file)
    for code in config.training.code():
        check_file(code, file)
    for kind in in_order(config.space.module).values():
        if kind.factory:
            check_file(kind.factory, file)
    if trials is not None and trials < config.trials:
        raise InputError(f"--trials {trials} is fewer than the {config.trials} of the search")
    changed = {"trials": trials, "confirm_seeds": confirm_seeds, "first_look": config.first_look}
    if confirm_seeds is not None and confirm_seeds > config.confirm_seeds > 1:
        changed["first_look"] = config.first_look or config.confirm_seeds
    given = {name: value for name, value in changed.items() if value is not None}
    return set_up(config.model_copy(update=given))


def _of_every_candidate(setup: SearchSetup) -> SearchSetup:
    if setup.costs.within is None:
        raise InputError(
            f"--exhaustive would train each of {setup.space.count():,} candidates; choose from "
            "less, or give --trials"
        )
    within = set(map(tuple, setup.costs.within.tolist()))
    others = {each for each in setup.space.references.values() if setup.costs.fits(each)}
    config = setup.config.model_copy(update={"trials": len(within | others)})
    return replace(setup, config=config)
