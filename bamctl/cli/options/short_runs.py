"""Options of commands that compare many networks by short training runs."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from bamctl.cli.options.declare import flag, option


@dataclass(frozen=True)
class ImageOptions:
    """The images that candidates are trained on."""

    data: Annotated[
        str | None,
        option("digits, or another data set, as for `bamctl train`. [digits]", "Data"),
    ] = None
    data_root: Annotated[
        str | None, option("Folder of torchvision's data sets. [data]", "Data", metavar="FOLDER")
    ] = None
    download: Annotated[bool, flag("--download", "Download a missing data set.", "Data")] = False

    def given(self) -> dict[str, Any]:
        """Return the options of the data that were passed, by their names in a configuration."""
        named = {"name": self.data, "root": self.data_root, "download": self.download}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class RunOptions:
    """The training of each candidate; the rest is as in `bamctl train`."""

    steps: Annotated[int | None, option("Steps of each run. [50]", "How long", min=1)] = None
    start: Annotated[
        Literal["scratch", "trunk"] | None,
        option(
            "Where candidates start: trunk trains the unmodified network once for each seed, and "
            "inserts attention in copies that train on. [trunk]",
            "Training",
        ),
    ] = None
    trunk_steps: Annotated[
        int | None, option("The steps of the trunk. [half of --steps]", "Training", min=1)
    ] = None
    batch_size: Annotated[int | None, option("Images in a step. [64]", "Training", min=1)] = None
    lr: Annotated[
        float | None,
        option("Learning rate. [0.1 for 256 images, in proportion]", "Training"),
    ] = None
    precision: Annotated[
        Literal["no", "bf16", "fp16"] | None, option("Mixed precision. [no]", "Training")
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the fields of the recipe that were passed."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value is not None and name not in ("steps", "start", "trunk_steps")
        }
