"""`bamctl train`."""

import itertools
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bamctl.cli.command_line import signed
from bamctl.cli.options import (
    AttentionOptions,
    ModelName,
    NetworkOptions,
    OutputOptions,
    Where,
    given_names,
    given_placement,
    say,
    working,
)
from bamctl.cli.streams import results_apart
from bamctl.cli.train_options import ComparisonOptions, DataOptions, LengthOptions, RecipeOptions
from bamctl.cli.trust import Trust, allow_named
from bamctl.errors import InputError, appended
from bamctl.files import write_text

if TYPE_CHECKING:
    from bamctl.placement import Placement
    from bamctl.training.config import TrainingConfig
    from bamctl.training.experiment import Experiment
    from bamctl.training.result import Result


def train(
    model: ModelName = "",
    *,
    where: Where = None,
    placement: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="A placement; repeat for several arms."),
    ] = None,
    trust: Trust = None,
    comparison: ComparisonOptions,
    data: DataOptions,
    length: LengthOptions,
    recipe: RecipeOptions,
    attention: AttentionOptions,
    network: NetworkOptions,
    shown: OutputOptions,
) -> int:
    """Train without and with attention, seed by seed, and say whether it helps."""
    shown.check()
    allow_named(model, trust)
    asked = _Asked(model, where or [], placement or [], comparison, data, length, recipe)
    asked.check(attention, network)
    if shown.output is not None and shown.output == comparison.out:
        raise InputError(f"--output and --out both name {shown.output}; --out is for a folder")
    with working("preparing the comparison"):
        experiment, folder, is_going_on = _prepare(asked, attention, network)
    if not experiment.is_main:
        from bamctl.training.watching import Nobody

        experiment.run(folder, Nobody(), resume=is_going_on)
        return 0
    from bamctl.report import RENDERERS
    from bamctl.report.training_view import training_report

    result = _run(experiment, folder, is_going_on, with_board=comparison.tensorboard)
    report = signed(training_report(result))
    with appended(_reported_again(folder)):
        write_text(folder / "result.json", RENDERERS["json"](report, to_file=True))
        write_text(folder / "report.html", RENDERERS["html"](report, to_file=True))
        shown.show(report)
    say(f"report.html, curves, weights and the configuration are in {folder}")
    return 0


@dataclass(frozen=True)
class _Asked:
    """What the command line asks for, but for attention and network."""

    model: str
    where: list[str]
    placement: list[str]
    comparison: ComparisonOptions
    data: DataOptions
    length: LengthOptions
    recipe: RecipeOptions

    def check(self, attention: AttentionOptions, network: NetworkOptions) -> None:
        """Refuse what does not go together, before anything slow is imported."""
        lengths = [n for n in ("steps", "epochs", "max_minutes") if getattr(self.length, n)]
        if len(lengths) > 1:
            named = " and ".join(f"--{name.replace('_', '-')}" for name in lengths)
            raise InputError(f"{named} both say how long to train; give one of them")
        if self.comparison.pretrained and self.comparison.weights:
            raise InputError("--pretrained and --weights both name weights; give one of them")
        weights = self.comparison.pretrained or self.comparison.weights
        if self.length.freeze_backbone_epochs and not weights:
            raise InputError(
                "--freeze-backbone-epochs is for networks that start from weights; add "
                "--pretrained or --weights"
            )
        if self.comparison.tensorboard and find_spec("tensorboard") is None:
            raise InputError("--tensorboard needs tensorboard: `pip install 'bamctl[tensorboard]'`")
        repeated = "config" if self.comparison.config else "resume"
        if self.comparison.config and self.comparison.resume:
            raise InputError("--config starts anew and --resume goes on; give one of them")
        if not (self.comparison.config or self.comparison.resume):
            return
        others = self._others(attention, network)
        if others:
            option = others[0].replace("_", "-")
            option = "MODEL" if option == "model" else f"--{option}"
            raise InputError(
                f"--{repeated} repeats what is written down, and {option} would change it; "
                "leave it out"
            )

    def _others(self, attention: AttentionOptions, network: NetworkOptions) -> list[str]:
        allowed = ["config", "resume", "out", "tensorboard"]
        if self.comparison.resume:
            allowed += ["seeds"]
            allowed.remove("out")
        own = {"model": self.model, "where": self.where, "placement": self.placement}
        groups = (self.comparison, self.data, self.length, self.recipe, attention, network)
        given = [name for name, value in own.items() if value] + given_names(*groups)
        return [name for name in given if name not in allowed]


def _prepare(
    asked: _Asked, attention: AttentionOptions, network: NetworkOptions
) -> "tuple[Experiment, Path, bool]":
    """The comparison, its folder, and whether it goes on in there."""
    from bamctl.models import check_named_by
    from bamctl.training.config import TrainingConfig
    from bamctl.training.experiment import Experiment
    from bamctl.training.run_folder import read_config

    wanted = asked.comparison
    if wanted.resume is not None:
        config = read_config(wanted.resume)
        check_named_by(config.model, wanted.resume / "config.yaml")
        return Experiment(_with_seeds(config, wanted.seeds)), wanted.resume, True
    if wanted.config is not None:
        config = TrainingConfig.load(wanted.config)
        check_named_by(config.model, wanted.config)
        experiment = Experiment(config)
    else:
        experiment = _planned(asked, attention, network)
    name = experiment.config.model.replace(":", "-").replace("/", "-")
    folder = wanted.out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return experiment, folder, False


def _with_seeds(config: "TrainingConfig", count: int | None) -> "TrainingConfig":
    """More seeds, after those that were there."""
    if count is None:
        return config
    if count < len(config.seeds):
        raise InputError(f"--seeds {count} is fewer than the {len(config.seeds)} that are there")
    unused = (seed for seed in itertools.count() if seed not in config.seeds)
    more = itertools.islice(unused, count - len(config.seeds))
    return config.model_copy(update={"seeds": [*config.seeds, *more]})


def _planned(asked: _Asked, attention: AttentionOptions, network: NetworkOptions) -> "Experiment":
    from bamctl import schemas
    from bamctl.inputs import Input
    from bamctl.training import plan
    from bamctl.training.config import DataConfig, TrainingConfig, without_network
    from bamctl.training.experiment import Experiment, load_data

    wanted = asked.comparison
    placements = _placements(asked, attention, network)
    about = _network(asked.model, placements)
    data_config = schemas.from_options(DataConfig, asked.data.given())
    given = about.get("input")
    data = load_data(
        about["model"],
        data_config,
        num_classes=about.get("num_classes"),
        input_shape=given[0].shape if given else None,
        device=wanted.device or "auto",
    )
    weights = "DEFAULT" if wanted.pretrained else wanted.weights
    recipe = plan.recipe(
        asked.recipe.given(),
        data,
        steps=asked.length.steps,
        epochs=asked.length.epochs,
        pretrained=weights is not None,
        freeze_backbone_epochs=asked.length.freeze_backbone_epochs,
    )
    config = schemas.from_options(
        TrainingConfig,
        {
            "num_classes": len(data.classes),
            "input": (Input(data.input_shape),),
            **about,
            "weights": weights,
            "data": data_config,
            "recipe": recipe,
            "seeds": list(range(wanted.seeds or 5)),
            "control": wanted.control,
            "snapshots": wanted.snapshots,
            "device": wanted.device or "auto",
            "placements": {name: without_network(each) for name, each in placements.items()},
        },
    )
    experiment = Experiment(config, data)
    if asked.length.max_minutes is not None:
        plan.fit(experiment, asked.length.max_minutes, asked.recipe.given())
    return experiment


def _placements(
    asked: _Asked, attention: AttentionOptions, network: NetworkOptions
) -> "dict[str, Placement]":
    """The placement of each arm, by the name of the arm."""
    from bamctl.models import check_named_by
    from bamctl.placement import Placement, find

    bases = [(pattern, Placement(where=[pattern])) for pattern in asked.where]
    for file in asked.placement:
        own = find(file)
        if not asked.model:
            check_named_by(own.model, Path(file))
        bases.append((Path(file).stem, own))
    given = given_placement(network, attention)
    found: dict[str, Placement] = {}
    for name, base in bases or [("bottleneck", Placement(where=["bottleneck"]))]:
        if name in found or name == "baseline":
            raise InputError(f"two arms would be called {name!r}; rename the placement file")
        found[name] = base.with_overrides(given)
    return found


def _network(model: str, placements: "dict[str, Placement]") -> dict[str, Any]:
    """What the placements say of the network, on which they must agree."""
    from bamctl.models import check_name
    from bamctl.training.config import NETWORK_FIELDS

    about: dict[str, Any] = {"model": model} if model else {}
    for name, placement in placements.items():
        for field in NETWORK_FIELDS:
            value = getattr(placement, field)
            if value in (None, {}) or (field == "model" and model):
                continue
            if about.setdefault(field, value) != value:
                raise InputError(f"{name} is for another {field} than the placement before it")
    if "model" not in about:
        raise InputError("no model: name one, as in `bamctl train resnet18`, or in the placement")
    check_name(about["model"])
    return about


def _run(
    experiment: "Experiment", folder: Path, is_going_on: bool, *, with_board: bool
) -> "Result":
    from bamctl.cli.progress import Bars
    from bamctl.models import trust_flag

    try:
        board = folder / "tensorboard" if with_board else None
        with results_apart(), Bars(experiment.config, len(experiment.arms), board) as bars:
            result = experiment.run(folder, bars, resume=is_going_on)
    except KeyboardInterrupt:
        flag = trust_flag(experiment.config.model, folder)
        say(f"`bamctl train --resume {folder}{flag}` goes on from here")
        raise
    with appended(_reported_again(folder)):
        _draw(result, folder)
    return result


def _reported_again(folder: Path) -> str:
    return f"the runs are kept; `bamctl train --resume {folder}` makes the report again"


def _draw(result: "Result", folder: Path) -> None:
    from bamctl.training import curves

    means = {each.arm.name: each.curve for each in result.arms}
    curves.draw(result.metrics, means, folder)
