"""Options of commands that compare many networks by short training runs, and what they mean."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from bamctl.cli.options.shared import flag, option

if TYPE_CHECKING:
    from bamctl.data.sets import Data
    from bamctl.training.config import TrainingConfig

_STEPS = 50


@dataclass(frozen=True)
class ImageOptions:
    """Which images candidates are trained on."""

    data: Annotated[
        str | None,
        option("digits, or another set, as `bamctl train` takes them. [digits]", "Data"),
    ] = None
    data_root: Annotated[
        str | None, option("Where torchvision's sets are kept. [data]", "Data", metavar="FOLDER")
    ] = None
    download: Annotated[bool, flag("--download", "Fetch a set that is not there.", "Data")] = False

    def given(self) -> dict[str, Any]:
        """The options of the data that were given, as a configuration names them."""
        named = {"name": self.data, "root": self.data_root, "download": self.download}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class RunOptions:
    """How each candidate is trained; the rest is as `bamctl train` has it."""

    steps: Annotated[int | None, option("Steps of each run. [50]", "How long", min=1)] = None
    batch_size: Annotated[int | None, option("Images in a step. [64]", "Training", min=1)] = None
    lr: Annotated[
        float | None,
        option("Learning rate. [0.1 for 256 images, in proportion]", "Training"),
    ] = None
    precision: Annotated[
        Literal["no", "bf16", "fp16"] | None, option("Mixed precision. [no]", "Training")
    ] = None

    def given(self) -> dict[str, Any]:
        """The fields of the recipe that were given."""
        return {
            name: value
            for name, value in asdict(self).items()
            if value is not None and name != "steps"
        }


def short_runs(
    model: str,
    network: Mapping[str, Any],
    images: ImageOptions,
    run: RunOptions,
    *,
    seeds: int,
    device: str = "auto",
) -> "tuple[TrainingConfig, Data]":
    """How each network is trained, and on which images.

    Raises:
        InputError: something of it is wrong, or does not go together.
    """
    from bamctl.files import schemas
    from bamctl.networks.inputs import Input
    from bamctl.networks.models import check_name
    from bamctl.networks.spec import NetworkSpec
    from bamctl.training import plan
    from bamctl.training.config import DataConfig, TrainingConfig
    from bamctl.training.experiment import load_data

    about = schemas.from_options(NetworkSpec, {"model": check_name(model), **network})
    data_config = schemas.from_options(DataConfig, images.given())
    data = load_data(about, data_config, device=device)
    given = {
        "num_classes": len(data.classes),
        "input": (Input(data.input_shape),),
        **about.given(),
        "data": data_config,
        "recipe": plan.recipe(run.given(), data, steps=run.steps or _STEPS),
        "seeds": list(range(seeds)),
        "device": device,
    }
    return schemas.from_options(TrainingConfig, given), data
