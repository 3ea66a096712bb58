"""What a search is made of; a YAML file in the run folder repeats it or goes on with it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from bamctl import masking, schemas, yaml_files
from bamctl.errors import InputError
from bamctl.search.choices import Choices
from bamctl.search.sampler import Sampler
from bamctl.training.config import TrainingConfig

_Count = Annotated[int, Field(ge=1, strict=True)]


class SearchConfig(BaseModel):
    """A whole search; nothing else is needed to repeat it.

    `training` says how each candidate is trained, with all its seeds; its placements are those
    that are always tried. `halving` is the factor by which successive halving cuts the steps, and
    1 where every trial takes them all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: schemas.Version = Field(
        default=1, alias="schema", description="version of this format"
    )
    training: TrainingConfig
    space: Choices = Choices()
    budget: dict[str, str] = Field(default_factory=dict, description="the most of each figure")
    objectives: list[str] = Field(default=["params"], min_length=1)
    sampler: Sampler = "tpe"
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    trials: _Count
    halving: _Count = 1
    rungs: _Count = 1
    confirm_seeds: Annotated[int, Field(ge=0, strict=True)] = 5
    storage: SecretStr | None = Field(
        default=None, description="the URL of where the study is; in the run folder if left out"
    )
    study: Annotated[str, Field(min_length=1)] = "bamctl"

    def steps(self) -> tuple[int, ...]:
        """How many steps each rung of a trial takes, the last being all."""
        full = self.training.recipe.steps
        return tuple(max(full // self.halving**rung, 1) for rung in reversed(range(self.rungs)))

    def without_password(self) -> "SearchConfig":
        """The same search, its storage without what only those who run it may know."""
        if self.storage is None:
            return self
        shown = masking.url(self.storage.get_secret_value())
        return self.model_copy(update={"storage": SecretStr(shown)})

    def identity(self) -> dict[str, Any]:
        """What two searches must share to share a study: everything that a trial depends on."""
        training = self.training.model_dump(mode="json", exclude={"placements", "device"})
        data = training["data"]
        training["data"] = {name: data[name] for name in ("name", "fingerprint")}
        own = self.model_dump(
            mode="json", include={"space", "budget", "objectives", "halving", "rungs"}
        )
        return {**training, **own}

    @classmethod
    def load(cls, path: Path) -> "SearchConfig":
        """Read the configuration of a search.

        Raises:
            InputError: the file cannot be read, or does not fit the schema; names file and line.
        """
        file = yaml_files.load(path)
        if not isinstance(file.data, dict):
            raise InputError(f"{path}:1: the configuration of a search is a mapping")
        if "recipe" in file.data:
            raise InputError(f"{path} is of a training; give its folder to `bamctl train`")
        return schemas.from_yaml(cls, file)

    def save(self, path: Path) -> None:
        """Write it as YAML, without the password of its storage.

        Raises:
            InputError: the file cannot be written.
        """
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        if storage := self.without_password().storage:
            data["storage"] = storage.get_secret_value()
        data["training"]["placements"] = {
            name: {k: v for k, v in each.as_dict().items() if k not in ("schema", "stages")}
            for name, each in self.training.placements.items()
        }
        yaml_files.dump(path, data)
