"""Options of commands that compare many networks by short training runs."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from bamctl.cli.options.declare import flag, option
from bamctl.errors import InputError


@dataclass(frozen=True)
class ImageOptions:
    """The images that candidates are trained on."""

    data: Annotated[
        str | None,
        option("A data set, as for `bamctl train`. [that of the task, offline]", "Data"),
    ] = None
    data_root: Annotated[
        str | None, option("Folder of torchvision's data sets. [data]", "Data", metavar="FOLDER")
    ] = None
    download: Annotated[bool, flag("--download", "Download a missing data set.", "Data")] = False
    held_out: Annotated[
        int | None, option("Held-out samples to judge by. [all]", "Data", min=1)
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the options of the data that were passed, by their names in a configuration."""
        named = {
            "name": self.data,
            "root": self.data_root,
            "download": self.download,
            "held_out": self.held_out,
        }
        return {name: value for name, value in named.items() if value}


_NOT_OF_RECIPE = ("steps", "start", "trunk_steps", "pretrained", "weights")


def named_weights(*, pretrained: bool, weights: str | None) -> str | None:
    """Return the weights that options name.

    Raises:
        InputError: they name two.
    """
    if pretrained and weights:
        raise InputError("--pretrained and --weights are mutually exclusive")
    return "DEFAULT" if pretrained else weights


@dataclass(frozen=True)
class RunOptions:
    """The training of each candidate; the rest is as in `bamctl train`."""

    steps: Annotated[int | None, option("Steps of each run. [50]", "How long", min=1)] = None
    start: Annotated[
        Literal["scratch", "trunk", "weights"] | None,
        option(
            "Where candidates start: trunk trains the unmodified network once for each seed, and "
            "inserts attention in copies that train on. [trunk]",
            "Training",
        ),
    ] = None
    pretrained: Annotated[
        bool, flag("--pretrained", "Start from the published weights.", "Training")
    ] = False
    weights: Annotated[
        str | None,
        option("Start from these weights, by name or file.", "Training", metavar="NAME|FILE"),
    ] = None
    trunk_steps: Annotated[
        int | None, option("The steps of the trunk. [half of --steps]", "Training", min=1)
    ] = None
    batch_size: Annotated[int | None, option("Samples in a step. [by task]", "Training", min=1)] = (
        None
    )
    lr: Annotated[
        float | None,
        option("Learning rate. [by task, in proportion to the batch]", "Training"),
    ] = None
    precision: Annotated[
        Literal["no", "bf16", "fp16"] | None, option("Mixed precision. [no]", "Training")
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the fields of the recipe that were passed."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value is not None and name not in _NOT_OF_RECIPE
        }
