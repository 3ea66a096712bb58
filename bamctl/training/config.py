"""The configuration of a comparison: network, arms, data and recipe, as a YAML file holds it."""

from math import cos, pi
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bamctl.errors import InputError
from bamctl.files import schemas, yaml_files
from bamctl.networks.spec import InputsField, NetworkSpec
from bamctl.placement.placement import Placement

Schedule = Literal["cosine", "step"]
Precision = Literal["no", "bf16", "fp16"]
BadImages = Literal["refuse", "skip"]
Device = Literal["auto", "cpu"]

# Attention inserted in a pretrained network starts as the identity.
_UNCHANGED = Placement.from_options({"attention": {"init": "identity"}})


_STRICT = ConfigDict(extra="forbid", frozen=True)
_Count = Annotated[int, Field(ge=1, strict=True)]
_CountOrNone = Annotated[int, Field(ge=0, strict=True)]
# Beyond any practical value, and far below the largest fp32 number.
_LARGEST = 1e6
_Rate = Annotated[float, Field(gt=0, lt=_LARGEST, allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0, lt=1)]


class DataConfig(BaseModel):
    """The data set, and how its images are read."""

    model_config = _STRICT

    name: str = Field(default="digits", description="name of a data set, or folder:PATH")
    root: str = Field(default="data", description="folder of torchvision's data sets")
    download: bool = Field(default=False, description="whether to download a missing data set")
    bad_images: BadImages = Field(default="refuse", description="what to do with unreadable images")
    workers: _CountOrNone = Field(default=0, description="processes that load images")
    test: bool = Field(default=False, description="whether to report the test split")
    fingerprint: str | None = Field(default=None, description="of the images, to detect changes")


class Recipe(BaseModel):
    """The hyperparameters of training; the optimizer is SGD with momentum.

    The defaults of momentum and weight decay, and a learning rate of 0.1 for a batch of 256, are
    those of the authors' released code for ImageNet.
    """

    model_config = _STRICT

    steps: _Count = Field(description="optimizer steps")
    batch_size: _Count = Field(default=64, description="images per step, over all devices")
    lr: _Rate = Field(description="learning rate")
    momentum: _Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0, lt=_LARGEST, allow_inf_nan=False)] = 1e-4
    schedule: Schedule = Field(
        default="cosine",
        description="cosine decay to zero, or a tenth after each third of the steps",
    )
    warmup_steps: _CountOrNone = Field(default=0, description="steps of linear warm-up")
    label_smoothing: _Fraction = 0.0
    accumulate: _Count = Field(default=1, description="gradient accumulation: parts of a batch")
    precision: Precision = Field(default="no", description="mixed precision")
    eval_every: _Count = Field(description="steps between evaluations")
    freeze_backbone_steps: _CountOrNone = Field(
        default=0, description="steps with the pretrained parameters frozen"
    )

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        >>> recipe = Recipe(steps=90, lr=0.1, schedule="step", eval_every=90)
        >>> [round(recipe.lr_at(step), 6) for step in (0, 29, 30, 60, 89)]
        [0.1, 0.1, 0.01, 0.001, 0.001]
        """
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.schedule == "step":
            return float(self.lr * 0.1 ** (3 * step // self.steps))
        done = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.lr * (1 + cos(pi * done)) / 2


class TrainingConfig(NetworkSpec, schemas.Versioned):
    """The whole configuration of a comparison, sufficient to repeat it.

    The network, with explicit input and classes, is common to all arms.
    """

    model: Annotated[str, Field(min_length=1)]
    input: InputsField
    num_classes: _Count
    weights: str | None = Field(
        default=None,
        description="published weights or a checkpoint to start from; implies init: identity",
    )
    data: DataConfig = DataConfig()
    recipe: Recipe
    seeds: list[_CountOrNone] = Field(min_length=1, description="each arm is trained once per seed")
    snapshots: bool = Field(
        default=False, description="whether to save the weights at each evaluation"
    )
    control: bool = Field(
        default=False, description="whether to add controls with as many parameters"
    )
    device: Device = Field(default="auto", description="auto: an accelerator if there is one")
    placements: dict[str, Placement] = Field(
        default_factory=dict, description="placements by arm name"
    )

    @field_validator("placements")
    @classmethod
    def _weights_are_not_disturbed(
        cls, placements: dict[str, Placement], info: ValidationInfo
    ) -> dict[str, Placement]:
        """Set `init` to identity; a plain gate would scale pretrained features by 1 to 2."""
        if info.data.get("weights") is None:
            return placements
        return {name: _UNCHANGED.with_overrides(each) for name, each in placements.items()}

    @model_validator(mode="after")
    def _is_whole(self) -> "TrainingConfig":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: duplicate seed")
        for name, placement in self.placements.items():
            said = sorted(placement.model_fields_set.intersection(NetworkSpec.model_fields))
            if said:
                raise ValueError(
                    f"placements.{name}: {said[0]} must be set at the top level, not in a placement"
                )
        return self

    def identity(self) -> dict[str, Any]:
        """Return everything that determines a run except its arm, its seed and the machine."""
        left_out = {"placements", "seeds", "control", "snapshots", "device", "data"}
        data = {"name", "fingerprint", "bad_images", "test"}
        own = self.model_dump(mode="json", exclude=left_out)
        return {**own, "data": self.data.model_dump(mode="json", include=data)}

    @classmethod
    def load(cls, path: Path) -> "TrainingConfig":
        """Read the configuration of a comparison.

        Raises:
            InputError: the file cannot be read, or does not fit the schema; names file and line.
        """
        file = yaml_files.load(path)
        if not isinstance(file.data, dict):
            raise InputError(
                "the configuration of a comparison must be a mapping", path=path, line=1
            )
        if "training" in file.data:
            raise InputError(f"{path} is for a search; pass its folder to `bamctl search`")
        return schemas.from_yaml(cls, file)

    def save(self, path: Path) -> None:
        """Write the configuration as YAML.

        Raises:
            InputError: the file cannot be written.
        """
        yaml_files.dump(path, self.as_written())

    def as_written(self) -> dict[str, Any]:
        """Return the configuration as plain values for a file; an arm's unset fields stay unset."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        data["placements"] = {name: _arm(each) for name, each in self.placements.items()}
        return {key: value for key, value in data.items() if value != {}}


def _arm(placement: Placement) -> dict[str, Any]:
    # If left out, `stages` means the three deepest bottlenecks in any version.
    left_out = {"schema"} if "stages" in placement.model_fields_set else {"schema", "stages"}
    written = placement.as_written().items()
    return {key: value for key, value in written if key not in left_out}


def difference(ours: dict[str, Any], theirs: dict[str, Any], path: str = "") -> str | None:
    """Describe the first difference of two configurations; None if they are equal.

    >>> difference({"model": "resnet18"}, {"model": "resnet34"})
    "model is 'resnet18', expected 'resnet34'"
    """
    for name in dict.fromkeys([*ours, *theirs]):
        own, other = ours.get(name), theirs.get(name)
        where = f"{path}.{name}" if path else name
        if isinstance(own, dict) and isinstance(other, dict):
            if found := difference(own, other, where):
                return found
        elif own != other:
            return f"{where} is {own!r}, expected {other!r}"
    return None
