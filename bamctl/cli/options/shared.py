"""Options that several commands share, and the placement that they describe."""

from contextlib import (
    suppress,
)
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bamctl.cli.options.declare import keywords, option
from bamctl.cli.options.project import no_model, of_project
from bamctl.errors import InputError
from bamctl.trunk import strategies

if TYPE_CHECKING:
    from bamctl.cli.options.settings import SettingsOptions
    from bamctl.placement.placement import Placement
    from bamctl.weights.checkpoints import Checkpoint

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A torchvision model such as resnet50, timm:NAME, or package.module:factory.",
        autocompletion=lambda incomplete: _complete("networks.models", "names", incomplete),
        show_default=False,
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHERE",
        help=f"{strategies.named()}, a module name or a glob over module names, each with "
        "=MODULE for another attention module, as in layer3=se; repeat for several.",
        autocompletion=lambda incomplete: [
            (name, each.help)
            for name, each in strategies.STRATEGIES.items()
            if name.startswith(incomplete)
        ],
    ),
]
PlacementName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="A shipped placement, such as paper/reduction-8, or a placement file.",
        autocompletion=lambda incomplete: _complete(
            "placement.shipped", "shipped_names", incomplete
        ),
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Published weights, such as DEFAULT or IMAGENET1K_V2, or a checkpoint.",
    ),
]
_CHECKPOINTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


def _complete(module: str, function: str, incomplete: str) -> list[str]:
    names = getattr(__import__(f"bamctl.{module}", fromlist=[function]), function)()
    return [name for name in names if name.startswith(incomplete)]


@dataclass(frozen=True)
class NetworkOptions:
    """The network, and the stages that are considered."""

    input: Annotated[
        list[str] | None,
        option(
            "Input as channels x height x width, of a video channels x frames x height x width, or "
            "N for one number for each image; repeat for several. [what the model's weights expect]"
        ),
    ] = None
    arg: Annotated[
        list[str] | None,
        option(
            "A keyword argument of the model builder; repeat for several.",
            metavar="KEY=VALUE",
        ),
    ] = None
    num_classes: Annotated[int | None, option("Classes of the head. [1000]", min=1)] = None
    stem: Annotated[
        Literal["small"] | None,
        option("small: 3x3 stride-1 stem without pooling, for images of about 32x32."),
    ] = None
    stages: Annotated[str | None, option("Bottlenecks, counted from the deepest, or all. [3]")] = (
        None
    )

    def given(self) -> dict[str, Any]:
        """Return the options that were passed, by their names in a placement.

        Raises:
            InputError: one of them cannot be read.
        """
        given = {n: value for n, value in asdict(self).items() if value not in (None, [])}
        if self.arg:
            given["args"] = keywords(given.pop("arg"), "--arg", "width_mult=0.5")
        with suppress(ValueError):  # an integer of thousands of digits
            if self.stages is not None and self.stages.isdecimal():
                given["stages"] = int(self.stages)
        return given

    def arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of the public functions.

        Raises:
            InputError: one of them cannot be read.
        """
        given = self.given()
        if "input" in given:
            given["input_shape"] = given.pop("input")
        return given


def check_needs_ray(engine: str, **options: object) -> None:
    """Raise for options of a Ray cluster with another engine.

    Raises:
        InputError: one of `options` was passed, and `engine` is not `ray`.
    """
    for name, value in options.items():
        if engine != "ray" and value is not None:
            raise InputError(f"--{name.replace('_', '-')} requires --engine ray")


def given_names(*groups: Any) -> list[str]:
    """Return the options of some groups that were passed, including zeros."""
    return [name for group in groups for name in _given_names(group)]


def _given_names(group: Any) -> list[str]:
    if not is_dataclass(group):
        return list(group.given())
    own = ((each, getattr(group, each.name)) for each in fields(group))
    return [each.name for each, value in own if value not in (each.default, [])]


def given_placement(
    network: NetworkOptions,
    attention: "SettingsOptions",
    where: list[str] | None = None,
    **others: Any,
) -> "Placement":
    """Return the options of the command line as a placement in which nothing else is set.

    Args:
        network: which network exactly.
        attention: the module and its settings.
        where: the sites, if they were passed.
        others: further keys of the placement.

    Raises:
        InputError: an option is wrong.
    """
    from bamctl.placement.placement import Placement
    from bamctl.placement.requested import trust_named

    trust_named(where=where)
    chosen = {"where": where, "attention": attention.given(), **others}
    return Placement.from_options({**network.given(), **{k: v for k, v in chosen.items() if v}})


def wanted_placement(
    command: str,
    model: str,
    base: "Checkpoint | str | None",
    where: list[str] | None,
    attention: "SettingsOptions",
    network: NetworkOptions,
) -> "Placement":
    """Return the requested placement, with its model.

    Args:
        command: the name of the command, for the example in an error.
        model: its name on the command line, or None.
        base: weights with their placement, or a placement's name or file; options override it.
        where: the sites, if they were passed.
        attention: the module and its hyperparameters.
        network: which network exactly.

    Raises:
        InputError: the placement or an option is wrong, nothing names a model, or only a file
            names a factory that `trust` does not allow.
    """
    from bamctl.placement.requested import of_network, trust_named
    from bamctl.placement.shipped import find

    trust_named(where=where)
    own, file = None, Path()
    if isinstance(base, str):
        own, file = find(base), Path(base)
    elif base is not None:
        own, file = base.placement, base.path
    if own is not None:
        own.check_named_by(file, with_network=not model)
    if not model and (own is None or own.model is None):
        model, network, sites = of_project(model, network, where)
        where = sites if own is None else where
        if not model:
            raise InputError(no_model(command, "in the placement"))
    given = {**network.given(), "where": where, "attention": attention.given()}
    return of_network(model or None, own, given)


def checkpoint_of(weights: str | None) -> "Checkpoint | None":
    """Return the file that `--weights` names; None for published weights, or without the option.

    Raises:
        InputError: the file cannot be read.
    """
    if weights is None or not (Path(weights).exists() or weights.endswith(_CHECKPOINTS)):
        return None
    from bamctl.weights import checkpoints

    return checkpoints.read(Path(weights))
