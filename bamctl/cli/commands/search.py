"""`bamctl search`."""

from dataclasses import dataclass, replace
from typing import Any

from bamctl.cli.command_line import signed
from bamctl.cli.messages import working
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.project import data_of_project, no_model, of_project
from bamctl.cli.options.search import EngineOptions, GoalOptions, SpaceOptions, StudyOptions
from bamctl.cli.options.shared import (
    ModelName,
    NetworkOptions,
    check_needs_ray,
    given_names,
)
from bamctl.cli.options.short_runs import ImageOptions, RunOptions, named_weights
from bamctl.cli.options.tasks import TaskOptions
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.cli.streams import results_apart
from bamctl.errors import InputError, appended
from bamctl.files.atomic import write_text


def search(
    model: ModelName = "",
    *,
    trust: Trust = None,
    task: TaskOptions,
    goal: GoalOptions,
    space: SpaceOptions,
    run: RunOptions,
    images: ImageOptions,
    engine: EngineOptions,
    study: StudyOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Search for the best placements within a budget."""
    shown.check()
    allow_named(model, trust)
    if study.resume is None:
        model, network, _ = of_project(model, network)
        images = replace(images, data=data_of_project(images.data))
    asked = _Asked(model, task, goal, space, run, images, engine, study, network)
    asked.check()
    _check_answers(asked)
    from bamctl.cli.progress import TrialBar
    from bamctl.nas.plan import plan
    from bamctl.nas.search import search as run_search
    from bamctl.report.formats.formats import FORMATS
    from bamctl.report.views.search import search_report
    from bamctl.report.views.search_plan import plan_report

    with working("pricing the candidates"):
        setup = plan(**asked.plan())
    if goal.dry_run:
        shown.show(plan_report(setup))
        return 0
    with results_apart(), TrialBar() as bar:
        result = run_search(setup, **asked.where(), progress=bar)
    report = signed(search_report(result))
    with appended(
        f"the trials are kept; `bamctl search --resume {result.folder}` rebuilds the report"
    ):
        write_text(result.folder / "result.json", FORMATS["json"].render(report, to_file=True))
        write_text(result.folder / "report.html", FORMATS["html"].render(report, to_file=True))
        shown.show(report)
    return 0


@dataclass(frozen=True)
class _Asked:
    """The request of the command line."""

    model: str
    task: TaskOptions
    goal: GoalOptions
    space: SpaceOptions
    run: RunOptions
    images: ImageOptions
    engine: EngineOptions
    study: StudyOptions
    network: NetworkOptions

    def check(self) -> None:
        """Raise for incompatible options, before anything slow is imported."""
        self.task.check()
        named_weights(pretrained=self.run.pretrained, weights=self.run.weights)
        engine = self.engine
        check_needs_ray(engine.engine, address=engine.address, gpus_per_trial=engine.gpus_per_trial)
        if self.goal.exhaustive and self.goal.trials:
            raise InputError("--exhaustive trains every candidate; leave --trials out")
        if self.study.study and not self.study.storage:
            raise InputError("--study requires --storage")
        if self.study.resume is None:
            if not self.model:
                raise InputError(no_model("search"))
            return
        others = self._others()
        if others:
            option = others[0].replace("_", "-")
            option = "MODEL" if option == "model" else f"--{option}"
            raise InputError(
                f"--resume repeats the stored configuration, and {option} would change it; leave "
                "it out"
            )

    def plan(self) -> dict[str, Any]:
        """Return the arguments of `bamctl.nas.search.plan`."""
        goal = self.goal
        changed = {"trials": goal.trials, "confirm_seeds": goal.confirm_seeds}
        if self.study.resume is not None:
            return {**changed, "resume": self.study.resume}
        return {
            **changed,
            **self.network.arguments(),
            "model": self.model,
            "budget": goal.budget or (),
            "objectives": goal.objective or ("params",),
            "space": self.space.given(),
            **self.task.arguments(),
            "weights": named_weights(pretrained=self.run.pretrained, weights=self.run.weights),
            "data": self.images.given(),
            "steps": self.run.steps,
            "max_steps": goal.max_steps,
            "max_minutes": goal.max_minutes,
            "start": self.run.start,
            "trunk_steps": self.run.trunk_steps,
            "confirm_start": goal.confirm_start,
            "recipe": self.run.given(),
            "seeds": goal.seeds,
            "exhaustive": goal.exhaustive,
            "sampler": goal.sampler,
            "seed": goal.seed,
            "halving": goal.halving,
            "device": self.engine.device or "auto",
            "storage": self.study.storage,
            "study": self.study.study,
        }

    def where(self) -> dict[str, Any]:
        """Return the engine and the folder, as arguments of `bamctl.search`."""
        return {
            "engine": self.engine.engine,
            "workers": self.engine.workers,
            "cpus_per_trial": self.engine.cpus_per_trial,
            "gpus_per_trial": self.engine.gpus_per_trial or 0.0,
            "address": self.engine.address or "auto",
            "resume": self.study.resume,
            "out": self.study.out,
        }

    def _others(self) -> list[str]:
        own = {"model": self.model, "device": self.engine.device}
        groups = (self.task, self.goal, self.space, self.run, self.images, self.study, self.network)
        given = [name for name, value in own.items() if value] + given_names(*groups)
        allowed = ("resume", "trials", "dry_run", "confirm_seeds")
        return [name for name in given if name not in allowed]


def _check_answers(asked: _Asked) -> None:
    """Raise if a service does not answer, before any work."""
    if asked.study.storage is not None:
        from bamctl.nas.storage import open_storage

        open_storage(asked.study.storage)
    if asked.engine.engine == "ray":
        from bamctl.engines.cluster import check_answers

        check_answers(asked.engine.address or "auto")
