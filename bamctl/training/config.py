"""The configuration of a comparison: network, arms, data and recipe, as a YAML file holds it."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bamctl.data.task_names import TaskName
from bamctl.errors import InputError
from bamctl.files import schemas, yaml_files
from bamctl.networks import factories, models
from bamctl.networks.spec import InputsField, NetworkSpec
from bamctl.placement.placement import Placement
from bamctl.training.measure import Measure
from bamctl.training.recipe import Recipe
from bamctl.training.start import Start

BadImages = Literal["refuse", "skip"]
Device = Literal["auto", "cpu"]

# Attention inserted in a trained network starts as the identity.
_UNCHANGED = Placement.from_options({"attention": {"init": "identity"}})


# Fields of newer versions with their defaults, which older ones did not write.
_NEWER = {"trunk_steps": 0, "loop": None, "task": "classification"}
_NEWER_OF_RECIPE = {"optimizer": "sgd", "clip_norm": None}

# Fields that change what is judged, and when, and no run.
JUDGING = frozenset({"first_look", "until", "margin"})

_STRICT = ConfigDict(extra="forbid", frozen=True)
_Count = Annotated[int, Field(ge=1, strict=True)]
_CountOrNone = Annotated[int, Field(ge=0, strict=True)]


class DataConfig(BaseModel):
    """The data set, and how its images are read."""

    model_config = _STRICT

    name: str = Field(default="digits", description="a data set, or folder:PATH")
    root: str = Field(default="data", description="where torchvision's sets are kept")
    download: bool = Field(default=False, description="whether to fetch a set that is not there")
    bad_images: BadImages = Field(default="refuse", description="images that cannot be read")
    readers: _CountOrNone = Field(
        default=0,
        # The name in configurations of older versions.
        validation_alias=AliasChoices("readers", "workers"),
        description="processes that read images",
    )
    held_out: _Count | None = Field(
        default=None, description="held-out samples to judge by; all of them if left out"
    )
    test: bool = Field(default=False, description="whether the test split is reported at the end")
    fingerprint: str | None = Field(default=None, description="of the images, to know them again")


class Until(BaseModel):
    """When to stop adding seeds, if not every comparison is settled before."""

    model_config = _STRICT

    max_seeds: Annotated[int, Field(ge=2, strict=True)] = Field(
        default=50, description="runs of each arm, at most"
    )
    max_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="no seed is begun that would end later"
    )


class OwnLoop(BaseModel):
    """A training loop of one's own, in place of a task, a data set and a recipe."""

    model_config = _STRICT

    function: str = Field(description="package.module:function, called with a network")
    metric: str | None = Field(
        default=None, description="the value that is judged, if it returns several"
    )
    better: Literal["higher", "lower"] = "higher"


class TrainingConfig(NetworkSpec, schemas.Versioned):
    """The whole configuration of a comparison, sufficient to repeat it.

    The network, with explicit input and classes, is common to all arms.
    """

    model: Annotated[str, Field(min_length=1)]
    input: InputsField
    weights: str | None = Field(
        default=None,
        description="published weights or a checkpoint to start from; implies init: identity",
    )
    task: str = Field(
        default="classification", description="what is trained, or package.module:factory"
    )
    loop: OwnLoop | None = Field(default=None, description="a training loop of your own")
    trunk_steps: _CountOrNone = Field(
        default=0,
        description="steps that the baseline takes before arms part from it; init is identity then",
    )
    data: DataConfig = DataConfig()
    recipe: Recipe
    seeds: list[_CountOrNone] = Field(min_length=1, description="one run of each arm for each")
    first_look: _Count | None = Field(
        default=None, description="seeds at the first report; all of them if left out"
    )
    until: Until | None = Field(
        default=None, description="seeds are added until every comparison is settled"
    )
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="a smaller difference is shown to be equivalent"
    )
    snapshots: bool = Field(
        default=False, description="whether to save the weights at each evaluation"
    )
    control: bool = Field(
        default=False, description="whether to add controls with as many parameters"
    )
    threads: _Count | None = Field(
        default=None, description="of a run on a CPU; what torch finds if left out"
    )
    device: Device = Field(default="auto", description="what the machine has, or its CPU")
    placements: dict[str, Placement] = Field(
        default_factory=dict, description="placements by arm name"
    )

    @field_validator("placements")
    @classmethod
    def _trained_features_are_not_disturbed(
        cls, placements: dict[str, Placement], info: ValidationInfo
    ) -> dict[str, Placement]:
        """Set `init` to identity; a plain gate would scale trained features by 1 to 2."""
        if info.data.get("weights") is None and not info.data.get("trunk_steps"):
            return placements
        return {name: _UNCHANGED.with_overrides(each) for name, each in placements.items()}

    @model_validator(mode="after")
    def _is_whole(self) -> "TrainingConfig":
        has_classes = self.loop is None and self.task in get_args(TaskName)
        if has_classes and self.task != "optical-flow" and self.num_classes is None:
            raise ValueError("num_classes is missing")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: duplicate seed")
        if self.trunk_steps >= self.recipe.steps:
            raise ValueError(
                f"trunk_steps: {self.trunk_steps} of {self.recipe.steps} steps leave none to the "
                "arms"
            )
        for name, placement in self.placements.items():
            said = sorted(placement.model_fields_set.intersection(NetworkSpec.model_fields))
            if said:
                raise ValueError(
                    f"placements.{name}: {said[0]} must be set at the top level, not in a placement"
                )
        return self

    @property
    def measure(self) -> Measure:
        """What a run is judged by."""
        from bamctl.training.tasks.tasks import task_named

        if self.loop is None:
            return task_named(self.task).measure
        is_lower = self.loop.better == "lower"
        title = self.loop.metric or "value"
        # A name of the user's could be that of another key.
        return Measure("value", title, unit="", is_share=False, lower_is_better=is_lower)

    @property
    def start(self) -> Start:
        """Where the arms start."""
        return "trunk" if self.trunk_steps else "weights" if self.weights else "scratch"

    @property
    def source(self) -> str:
        """The data set, or the loop of one's own, which has its data."""
        return self.data.name if self.loop is None else self.loop.function

    def code(self) -> list[str]:
        """Return the factories of a task or loop, which run only where `networks.trust` allows."""
        own = [self.loop.function] if self.loop else []
        return [name for name in (self.task, *own) if factories.is_factory(name)]

    def trust_flags(self, folder: Path) -> str:
        """Return the options `--trust NAME` that a later command needs for a folder of runs."""
        return "".join(models.trust_flag(name, folder) for name in (self.model, *self.code()))

    def evaluated_at(self) -> tuple[int, ...] | None:
        """Return the steps after which an arm is evaluated; none is within the trunk.

        None for a loop of one's own, which evaluates when it likes.
        """
        if self.loop is not None:
            return None
        recipe = self.recipe
        every = range(recipe.eval_every, recipe.steps, recipe.eval_every)
        return (*(step for step in every if step > self.trunk_steps), recipe.steps)

    def with_seeds(self, count: int) -> "TrainingConfig":
        """Return the configuration with `count` seeds; new ones follow the existing ones.

        Raises:
            InputError: there are more already.
        """
        if count < len(self.seeds):
            raise InputError(
                f"the comparison has {len(self.seeds)} seeds; --seeds {count} would drop some"
            )
        new = (seed for seed in itertools.count() if seed not in self.seeds)
        more = list(itertools.islice(new, count - len(self.seeds)))
        # A look at a single pair shows nothing, and so spends nothing.
        first = self.first_look or (len(self.seeds) if len(self.seeds) > 1 else None)
        changed = {"seeds": [*self.seeds, *more], "first_look": first if more else self.first_look}
        return self.model_copy(update=changed)

    def identity(self) -> dict[str, Any]:
        """Return everything that determines a run except its arm, its seed and the machine."""
        left_out = {*JUDGING, "seeds", "placements", "control", "snapshots", "device", "data"}
        if self.threads is None:
            left_out.add("threads")
        data = {"name", "fingerprint", "bad_images", "test"}
        own = as_older_versions_wrote(self.model_dump(mode="json", exclude=left_out))
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


def as_older_versions_wrote(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out newer fields at their defaults, so that runs of older versions are resumed."""

    def known(values: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in values.items() if k not in newer or v != newer[k]}

    return {**known(config, _NEWER), "recipe": known(config["recipe"], _NEWER_OF_RECIPE)}


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
