"""`bamctl train`."""

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from bamctl.cli.command_line import signed
from bamctl.cli.messages import say
from bamctl.cli.options.output import OutputOptions
from bamctl.cli.options.project import data_of_project, no_model, of_project
from bamctl.cli.options.settings import AttentionOptions
from bamctl.cli.options.shared import ModelName, NetworkOptions, Where, given_names
from bamctl.cli.options.short_runs import named_weights
from bamctl.cli.options.tasks import TaskOptions
from bamctl.cli.options.train import (
    ComparisonOptions,
    DataOptions,
    LengthOptions,
    PlaceOptions,
    RecipeOptions,
)
from bamctl.cli.options.trust import Trust, allow_named
from bamctl.cli.streams import results_apart
from bamctl.errors import InputError, appended
from bamctl.files.atomic import write_text
from bamctl.training.start import check_start


def train(
    model: ModelName = "",
    *,
    where: Where = None,
    placement: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="A placement; repeat for several arms."),
    ] = None,
    trust: Trust = None,
    task: TaskOptions,
    comparison: ComparisonOptions,
    data: DataOptions,
    length: LengthOptions,
    recipe: RecipeOptions,
    places: PlaceOptions,
    attention: AttentionOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Train without and with attention, seed by seed, and say whether it helps."""
    shown.check()
    allow_named(model, trust)
    if not (comparison.config or comparison.resume):
        from bamctl.placement.shipped import find

        if not any(find(each).model for each in placement or ()):
            model, network, sites = of_project(model, network, where)
            where = where if placement else sites
            if not model:
                raise InputError(no_model("train", "in the placement"))
        if task.train is None:
            data = replace(data, data=data_of_project(data.data))
    asked = _Asked(model, where or [], placement or [], task, comparison, data, length, recipe)
    asked.check(attention, network)
    places.check()
    if shown.output is not None and shown.output == comparison.out:
        raise InputError(f"--output and --out both name {shown.output}; --out is for a folder")
    from bamctl.cli.progress import Bars
    from bamctl.training.devices import is_main
    from bamctl.training.train import reported_again
    from bamctl.training.train import train as run

    with results_apart(), Bars(with_board=comparison.tensorboard) as bars:
        result = run(**asked.arguments(attention, network), **asdict(places), progress=bars)
    if not is_main():
        return 0
    from bamctl.report.formats.formats import FORMATS
    from bamctl.report.views.training import training_report

    folder = result.folder
    report = signed(training_report(result))
    with appended(reported_again(folder)):
        write_text(folder / "result.json", FORMATS["json"].render(report, to_file=True))
        write_text(folder / "report.html", FORMATS["html"].render(report, to_file=True))
        shown.show(report)
    say(f"report.html, curves, weights and the configuration are in {folder}")
    return 0


@dataclass(frozen=True)
class _Asked:
    """The request of the command line, without attention and network."""

    model: str
    where: list[str]
    placement: list[str]
    task: TaskOptions
    comparison: ComparisonOptions
    data: DataOptions
    length: LengthOptions
    recipe: RecipeOptions

    def check(self, attention: AttentionOptions, network: NetworkOptions) -> None:
        """Raise for incompatible options, before anything slow is imported."""
        self.task.check()
        names = ("steps", "epochs", *(() if self.comparison.until else ("max_minutes",)))
        lengths = [name for name in names if getattr(self.length, name)]
        if len(lengths) > 1:
            named = " and ".join(f"--{name.replace('_', '-')}" for name in lengths)
            raise InputError(f"{named} are mutually exclusive")
        start = check_start(
            self.comparison.start,
            trunk_steps=self.comparison.trunk_steps,
            weights=self._weights(),
            pretrained="--pretrained or --weights",
        )
        if self.length.freeze_backbone_epochs and start == "scratch":
            raise InputError(
                "--freeze-backbone-epochs is for networks that start from weights or a trunk; add "
                "--pretrained, --weights or --start trunk"
            )
        if self.comparison.max_seeds and not self.comparison.until:
            raise InputError("--max-seeds limits the seeds that --until settled adds; give both")
        if self.comparison.tensorboard and find_spec("tensorboard") is None:
            raise InputError("--tensorboard needs tensorboard: `pip install 'bamctl[tensorboard]'`")
        repeated = "config" if self.comparison.config else "resume"
        if self.comparison.config and self.comparison.resume:
            raise InputError(
                "--config starts a new comparison and --resume continues one; give one of them"
            )
        if not (self.comparison.config or self.comparison.resume):
            return
        others = self._others(attention, network)
        if others:
            option = others[0].replace("_", "-")
            option = "MODEL" if option == "model" else f"--{option}"
            raise InputError(
                f"--{repeated} repeats the stored configuration, and {option} would change it; "
                "leave it out"
            )

    def arguments(self, attention: AttentionOptions, network: NetworkOptions) -> dict[str, Any]:
        """Return the options as keyword arguments of `bamctl.train`."""
        wanted = self.comparison
        kept = {"config": wanted.config, "resume": wanted.resume, "out": wanted.out}
        if wanted.config or wanted.resume:
            minutes = self.length.max_minutes
            return {**kept, **self._stop(), "seeds": wanted.seeds, "max_minutes": minutes}
        return {
            **kept,
            **network.arguments(),
            "model": self.model or None,
            "where": self.where,
            "placements": self.placement,
            "attention": attention.given(),
            **self.task.arguments(),
            "start": wanted.start,
            "trunk_steps": wanted.trunk_steps,
            "threads": wanted.threads,
            "weights": self._weights(),
            "data": self.data.given(),
            **asdict(self.length),
            "recipe": self.recipe.given(),
            **self._stop(),
            "seeds": wanted.seeds,
            "margin": wanted.margin,
            "control": wanted.control,
            "snapshots": wanted.snapshots,
            "device": wanted.device or "auto",
        }

    def _weights(self) -> str | None:
        wanted = self.comparison
        return named_weights(pretrained=wanted.pretrained, weights=wanted.weights)

    def _stop(self) -> dict[str, Any]:
        return {"until": self.comparison.until, "max_seeds": self.comparison.max_seeds}

    def _others(self, attention: AttentionOptions, network: NetworkOptions) -> list[str]:
        allowed = ["config", "resume", "out", "tensorboard"]
        if self.comparison.resume:
            allowed += ["seeds", "until", "max_seeds"]
            allowed += ["max_minutes"] if self.comparison.until else []
            allowed.remove("out")
        own = {"model": self.model, "where": self.where, "placement": self.placement}
        groups = (
            self.task,
            self.comparison,
            self.data,
            self.length,
            self.recipe,
            attention,
            network,
        )
        given = [name for name, value in own.items() if value] + given_names(*groups)
        return [name for name in given if name not in allowed]
