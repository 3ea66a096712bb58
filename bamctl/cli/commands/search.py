"""`bamctl search`."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bamctl.cli.command_line import signed
from bamctl.cli.options.search import EngineOptions, GoalOptions, SpaceOptions, StudyOptions
from bamctl.cli.options.shared import (
    ModelName,
    NetworkOptions,
    OutputOptions,
    given_names,
    say,
    working,
)
from bamctl.cli.options.short_runs import ImageOptions, RunOptions, short_runs
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.cli.streams import results_apart
from bamctl.errors import InputError, appended
from bamctl.files.atomic import write_text
from bamctl.processes import signals

if TYPE_CHECKING:
    from bamctl.nas.engines import Engine
    from bamctl.nas.folder import SearchFolder
    from bamctl.nas.result import SearchResult
    from bamctl.nas.setup import SearchSetup
    from bamctl.nas.study import Study

_TRIALS, _RUNGS = 24, 3


def search(
    model: ModelName = "",
    *,
    trust: Trust = None,
    goal: GoalOptions,
    space: SpaceOptions,
    run: RunOptions,
    images: ImageOptions,
    engine: EngineOptions,
    study: StudyOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Search for the placements that are most accurate within a budget."""
    shown.check()
    allow_named(model, trust)
    asked = _Asked(model, goal, space, run, images, engine, study, network)
    asked.check()
    _check_answers(asked)
    with working("pricing the candidates"):
        setup = _setup(asked)
    from bamctl.report.formats.renderers import RENDERERS
    from bamctl.report.views.search import plan_report, search_report

    if goal.dry_run:
        shown.show(plan_report(setup))
        return 0
    result = _searched(asked, setup)
    report = signed(search_report(result))
    with appended(
        f"the trials are kept; `bamctl search --resume {result.folder}` makes the report again"
    ):
        write_text(result.folder / "result.json", RENDERERS["json"](report, to_file=True))
        write_text(result.folder / "report.html", RENDERERS["html"](report, to_file=True))
        shown.show(report)
    return 0


@dataclass(frozen=True)
class _Asked:
    """What the command line asks for."""

    model: str
    goal: GoalOptions
    space: SpaceOptions
    run: RunOptions
    images: ImageOptions
    engine: EngineOptions
    study: StudyOptions
    network: NetworkOptions

    def check(self) -> None:
        """Refuse what does not go together, before anything slow is imported."""
        if self.engine.engine == "local":
            for name in ("address", "gpus_per_trial"):
                if getattr(self.engine, name) is not None:
                    option = f"--{name.replace('_', '-')}"
                    raise InputError(f"{option} is for a Ray cluster; add --engine ray")
        if self.goal.exhaustive and self.goal.trials:
            raise InputError("--exhaustive trains every candidate; leave --trials out")
        if self.study.study and not self.study.storage:
            raise InputError("--study names a study in a --storage; add that, or leave it out")
        if self.study.resume is None:
            if not self.model:
                raise InputError("no model: name one, as in `bamctl search resnet18`")
            return
        others = self._others()
        if others:
            option = others[0].replace("_", "-")
            option = "MODEL" if option == "model" else f"--{option}"
            raise InputError(
                f"--resume repeats what is written down, and {option} would change it; leave it out"
            )

    def _others(self) -> list[str]:
        own = {"model": self.model, "device": self.engine.device}
        groups = (self.goal, self.space, self.run, self.images, self.study, self.network)
        given = [name for name, value in own.items() if value] + given_names(*groups)
        allowed = ("resume", "trials", "dry_run", "confirm_seeds")
        return [name for name in given if name not in allowed]


def _check_answers(asked: _Asked) -> None:
    """Refuse what is not there, before the work."""
    if asked.study.storage is not None:
        from bamctl.nas.storage import open_storage

        open_storage(asked.study.storage)
    if asked.engine.engine == "ray":
        from bamctl.nas.cluster import check_answers

        check_answers(asked.engine.address or "auto")


def _setup(asked: _Asked) -> "SearchSetup":
    from bamctl.nas.folder import read_config
    from bamctl.nas.setup import set_up
    from bamctl.networks.models import check_named_by

    if asked.study.resume is not None:
        changed = {"trials": asked.goal.trials, "confirm_seeds": asked.goal.confirm_seeds}
        given = {name: value for name, value in changed.items() if value is not None}
        config = read_config(asked.study.resume)
        check_named_by(config.training.model, asked.study.resume / "config.yaml")
        if given.get("trials", config.trials) < config.trials:
            raise InputError(
                f"--trials {given['trials']} is fewer than the {config.trials} that are asked for"
            )
        return set_up(config.model_copy(update=given))
    setup = _planned(asked)
    if not asked.goal.exhaustive:
        return setup
    if setup.costs.within is None:
        raise InputError(
            f"--exhaustive would train each of {setup.space.count():,} candidates; choose from "
            "less, or give --trials"
        )
    within = set(map(tuple, setup.costs.within.tolist()))
    others = {each for each in setup.space.references.values() if setup.costs.fits(each)}
    config = setup.config.model_copy(update={"trials": len(within | others)})
    return replace(setup, config=config)


def _planned(asked: _Asked) -> "SearchSetup":
    """A new search."""
    from bamctl.files import schemas
    from bamctl.nas.choices import Choices
    from bamctl.nas.config import SearchConfig
    from bamctl.nas.goals import parse_budget
    from bamctl.nas.setup import set_up

    goal = asked.goal
    budgets = [parse_budget(each) for each in goal.budget or []]
    network = asked.network.given()
    stages = {"stages": network.pop("stages")} if "stages" in network else {}
    space = schemas.from_options(Choices, {**asked.space.given(), **stages})
    training, data = short_runs(
        asked.model,
        network,
        asked.images,
        asked.run,
        seeds=goal.seeds or 1,
        device=asked.engine.device or "auto",
    )
    given = {
        "sampler": goal.sampler,
        "seed": goal.seed,
        "halving": goal.halving,
        "rungs": _RUNGS if goal.halving else None,
        "confirm_seeds": goal.confirm_seeds,
        "objectives": goal.objective,
        "storage": asked.study.storage,
        "study": asked.study.study,
    }
    config = schemas.from_options(
        SearchConfig,
        {
            "training": training,
            "space": space,
            "budget": {str(figure): limit.text for figure, limit in budgets},
            "trials": goal.trials or _TRIALS,
            **{name: value for name, value in given.items() if value is not None},
        },
    )
    return set_up(config, data)


def _searched(asked: _Asked, setup: "SearchSetup") -> "SearchResult":
    from bamctl.nas.storage import open_storage
    from bamctl.nas.study import Study
    from bamctl.networks.models import trust_flag
    from bamctl.report.formats.renderers import RENDERERS
    from bamctl.report.views.search import plan_report
    from bamctl.text import masking

    folder = _folder(asked, setup)
    if secret := folder.password_file:
        say(f"the password of --storage is kept in {secret} (mode 0600), which --resume needs")
    try:
        url = folder.storage(setup.config)
        storage = open_storage(url)
        study = Study(setup.config, setup.costs, storage, alone=setup.config.storage is None)
        engine = _engine(asked.engine, setup)
        sys.stderr.write(RENDERERS["table"](plan_report(setup), to_file=True) + "\n")
        say(f"`optuna-dashboard {shlex.quote(masking.url(url))}` shows the study as it grows")
        try:
            return _run(setup, study, engine, folder)
        finally:
            engine.close()
    except KeyboardInterrupt:
        flag = trust_flag(setup.config.training.model, folder.path)
        say(f"`bamctl search --resume {folder.path}{flag}` goes on from here")
        raise
    finally:
        folder.close()


def _folder(asked: _Asked, setup: "SearchSetup") -> "SearchFolder":
    from bamctl.nas import folder

    if asked.study.resume is not None:
        return folder.reopen(asked.study.resume, setup.config)
    name = setup.config.training.model.replace(":", "-").replace("/", "-")
    usual = Path("runs") / f"{name}-search-{time.strftime('%Y%m%d-%H%M%S')}"
    return folder.create(asked.study.out or usual, setup.config)


def _engine(wanted: EngineOptions, setup: "SearchSetup") -> "Engine":
    from bamctl.nas.objective import Objective

    evaluate = Objective(setup.config.training, setup.data, wanted.cpus_per_trial)
    return _ENGINES[wanted.engine](wanted, evaluate)


def _local(wanted: EngineOptions, evaluate: Any) -> "Engine":
    from bamctl.nas.engines import LocalEngine

    cores = max((os.cpu_count() or 1) // wanted.cpus_per_trial, 1)
    return LocalEngine(evaluate, wanted.workers or cores)


def _ray(wanted: EngineOptions, evaluate: Any) -> "Engine":
    from bamctl.nas.cluster import RayEngine, Resources

    resources = Resources(wanted.cpus_per_trial, wanted.gpus_per_trial or 0.0)
    engine = RayEngine(evaluate, wanted.address or "auto", resources, wanted.workers)
    # Ray puts a handler of its own in the place of ours.
    signals.catch_again()
    return engine


_ENGINES: dict[str, Callable[[EngineOptions, Any], "Engine"]] = {"local": _local, "ray": _ray}


def _run(
    setup: "SearchSetup", study: "Study", engine: "Engine", folder: "SearchFolder"
) -> "SearchResult":
    from bamctl.cli.progress import TrialBar
    from bamctl.nas.confirm import confirm
    from bamctl.nas.result import gather, with_evidence, write_front
    from bamctl.nas.run import Search

    config = setup.config
    with results_apart(), TrialBar(config.trials) as bar:
        Search(config, setup.space, study, engine, bar).run()
    result = write_front(gather(setup, study, folder.path))
    members = {each.name: each.codes for each in result.front if each.placement is not None}
    first = max(config.training.seeds) + 1
    seeds = range(first, first + config.confirm_seeds)
    if not (members and seeds):
        return result
    with working(f"confirming {len(members)} placements with {len(seeds)} fresh seeds"):
        evidence = confirm(
            setup.space,
            members,
            steps=config.steps()[-1],
            seeds=seeds,
            num_held_out=len(setup.data.held_out.labels),
            engine=engine,
            file=folder.confirmation,
            search=config.identity(),
            note=lambda text: say(f"note: {text}"),
        )
    return with_evidence(result, evidence, tuple(seeds))
