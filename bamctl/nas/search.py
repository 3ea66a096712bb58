"""`search`: find the placements that are most accurate within a budget."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from bamctl.errors import InputError
from bamctl.files import schemas
from bamctl.nas import folder as folders
from bamctl.nas.choices import Choices
from bamctl.nas.config import SearchConfig
from bamctl.nas.confirm import confirm
from bamctl.nas.engines import Engine, LocalEngine
from bamctl.nas.folder import SearchFolder
from bamctl.nas.goals import parse_budget
from bamctl.nas.objective import Objective
from bamctl.nas.result import SearchResult, gather, with_evidence, write_front
from bamctl.nas.run import Search
from bamctl.nas.setup import SearchSetup, set_up
from bamctl.nas.storage import open_storage
from bamctl.nas.study import Study
from bamctl.networks import models
from bamctl.networks.inputs import InputsLike
from bamctl.networks.spec import NetworkSpec
from bamctl.networks.trust import trust
from bamctl.placement.placement import Stages
from bamctl.processes import signals
from bamctl.training import plan as plans
from bamctl.training.config import Device

STEPS, TRIALS, RUNGS = 50, 24, 3


class SearchProgress(Protocol):
    """Observer of a search."""

    def prepared(self, setup: SearchSetup, folder: SearchFolder, storage: str) -> None:
        """Handle the opening of the study, before its trials begin."""

    def ended(self, number: int, accuracy: float | None) -> None:
        """Handle the end of a trial, with its accuracy unless it failed."""

    def confirming(self, num_placements: int, num_seeds: int) -> None:
        """Handle the start of the confirmation of the front on fresh seeds."""

    def note(self, text: str) -> None:
        """Handle a message for the user."""


class SilentProgress:
    """Observer that shows nothing."""

    def __getattr__(self, event: str) -> Callable[..., None]:
        return lambda *told: None


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
    data: str | Mapping[str, Any] = "digits",
    steps: int | None = None,
    recipe: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    trials: int | None = None,
    exhaustive: bool = False,
    sampler: str | None = None,
    seed: int | None = None,
    halving: int | None = None,
    confirm_seeds: int | None = None,
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
        data: a data set by name or `folder:PATH`, or the keys of a `DataConfig`.
        steps: optimizer steps of a trial; 50 if left out.
        recipe: further fields of a `Recipe`, such as `lr` and `batch_size`.
        seeds: runs of each candidate; 1 if left out.
        trials: how many candidates are trained; 24 if left out. With `resume`, as many in all.
        exhaustive: train every candidate within the budgets instead.
        sampler: `tpe`, `nsga2` or `random`; `tpe` if left out.
        seed: the sampler's seed; 0 if left out.
        halving: the factor of successive halving, over three rungs; none if left out.
        confirm_seeds: fresh seeds to judge the front by; 5 if left out.
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
    trust(model)
    texts = [f"{k}={v}" for k, v in budget.items()] if isinstance(budget, Mapping) else budget
    limits = {str(goal): limit.text for goal, limit in map(parse_budget, texts)}
    network = {"input": input_shape, "num_classes": num_classes, "stem": stem, "args": args}
    chosen = {**(space or {}), **({} if stages is None else {"stages": stages})}
    choices = schemas.from_options(Choices, chosen)
    training, images = plans.configure(
        _spec(model, network),
        data={"name": data} if isinstance(data, str) else data,
        recipe=recipe or {},
        steps=steps or STEPS,
        seeds=list(range(seeds or 1)),
        device=device,
    )
    given = {
        "sampler": sampler,
        "seed": seed,
        "halving": halving,
        "rungs": RUNGS if halving else None,
        "confirm_seeds": confirm_seeds,
        "storage": storage,
        "study": study,
    }
    config = schemas.from_options(
        SearchConfig,
        {
            "training": training,
            "space": choices,
            "budget": limits,
            "objectives": list(objectives),
            "trials": trials or TRIALS,
            **{name: value for name, value in given.items() if value is not None},
        },
    )
    setup = set_up(config, images)
    return _of_every_candidate(setup) if exhaustive else setup


def _spec(model: str, network: Mapping[str, Any]) -> NetworkSpec:
    given = {name: value for name, value in network.items() if value is not None}
    return schemas.from_options(NetworkSpec, {"model": models.check_name(model), **given})


def _resumed(folder: Path, trials: int | None, confirm_seeds: int | None) -> SearchSetup:
    config = folders.read_config(folder)
    models.check_named_by(config.training.model, folder / "config.yaml")
    if trials is not None and trials < config.trials:
        raise InputError(f"--trials {trials} is fewer than the {config.trials} of the search")
    changed = {"trials": trials, "confirm_seeds": confirm_seeds}
    given = {name: value for name, value in changed.items() if value is not None}
    return set_up(config.model_copy(update=given))


def _of_every_candidate(setup: SearchSetup) -> SearchSetup:
    if setup.costs.within is None:
        raise InputError(
            f"--exhaustive would train all {setup.space.count():,} candidates; restrict the search "
            "space, or use --trials"
        )
    within = set(map(tuple, setup.costs.within.tolist()))
    others = {each for each in setup.space.references.values() if setup.costs.fits(each)}
    config = setup.config.model_copy(update={"trials": len(within | others)})
    return replace(setup, config=config)


def search(
    model: str | SearchSetup | None = None,
    *,
    engine: str = "local",
    workers: int | None = None,
    cpus_per_trial: int = 1,
    gpus_per_trial: float = 0.0,
    address: str = "auto",
    resume: str | Path | None = None,
    out: str | Path | None = None,
    progress: SearchProgress | None = None,
    **planned: Any,
) -> SearchResult:
    """Search for the placements that are most accurate within a budget.

    Args:
        model: the network, as for `plan`, or what `plan` returned.
        engine: `local` for processes of this machine, or `ray` for a Ray cluster.
        workers: trials at a time; as many as there is room for if left out.
        cpus_per_trial: threads of a trial.
        gpus_per_trial: with Ray, GPUs of a trial, such as 0.5.
        address: of the Ray cluster, `auto` or `HOST:PORT`.
        resume: the folder of a search to resume.
        out: the folder of the search, which must not exist; `runs/MODEL-search-TIME` if left out.
        progress: receives events while it runs.
        planned: further arguments of `plan`, such as `budget` and `trials`.

    Raises:
        InputError: an argument is invalid, or no candidate is within the budgets.
        BamctlError: the folder, the storage or the cluster cannot be used any more.
    """
    progress = progress or SilentProgress()
    if not isinstance(model, SearchSetup):
        model = plan(model, resume=resume, **planned)
    setup = model
    folder = _folder(setup, resume, out)
    try:
        url = folder.storage(setup.config)
        study = Study(
            setup.config, setup.costs, open_storage(url), alone=setup.config.storage is None
        )
        evaluate = Objective(setup.config.training, setup.data, cpus_per_trial)
        running = ENGINES[engine](evaluate, workers, cpus_per_trial, gpus_per_trial, address)
        try:
            progress.prepared(setup, folder, url)
            return _run(setup, study, running, folder, progress)
        finally:
            running.close()
    finally:
        folder.close()


def _folder(setup: SearchSetup, resume: str | Path | None, out: str | Path | None) -> SearchFolder:
    if resume is not None:
        return folders.reopen(Path(resume), setup.config)
    name = setup.config.training.model.replace(":", "-").replace("/", "-")
    usual = Path("runs") / f"{name}-search-{time.strftime('%Y%m%d-%H%M%S')}"
    return folders.create(Path(out or usual), setup.config)


def _local(evaluate: Objective, workers: int | None, cpus: int, gpus: float, at: str) -> Engine:
    return LocalEngine(evaluate, workers or max((os.cpu_count() or 1) // cpus, 1))


def _ray(evaluate: Objective, workers: int | None, cpus: int, gpus: float, at: str) -> Engine:
    from bamctl.nas.cluster import RayEngine, Resources

    engine = RayEngine(evaluate, at, Resources(cpus, gpus), workers)
    # Ray replaces the signal handler.
    signals.catch_again()
    return engine


# Arguments: the objective, workers, CPUs and GPUs of a trial, and the address of a cluster.
ENGINES: dict[str, Callable[[Objective, int | None, int, float, str], Engine]] = {
    "local": _local,
    "ray": _ray,
}


def _run(
    setup: SearchSetup,
    study: Study,
    engine: Engine,
    folder: SearchFolder,
    progress: SearchProgress,
) -> SearchResult:
    config = setup.config
    Search(config, setup.space, study, engine, progress).run()
    result = write_front(gather(setup, study, folder.path))
    members = {each.name: each.codes for each in result.front if each.placement is not None}
    first = max(config.training.seeds) + 1
    seeds = range(first, first + config.confirm_seeds)
    if not (members and seeds):
        return result
    progress.confirming(len(members), len(seeds))
    evidence = confirm(
        setup.space,
        members,
        steps=config.steps()[-1],
        seeds=seeds,
        num_held_out=len(setup.data.held_out.labels),
        engine=engine,
        file=folder.confirmation,
        search=config.identity(),
        note=progress.note,
    )
    return with_evidence(result, evidence, tuple(seeds))
