"""The configuration of a search; a YAML file in its folder repeats or resumes it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr

from bamctl.errors import InputError
from bamctl.files import schemas, yaml_files
from bamctl.nas._sampler import Sampler
from bamctl.nas.choices import Choices
from bamctl.text import masking
from bamctl.training.config import JUDGING, TrainingConfig, as_older_versions_wrote

_Count = Annotated[int, Field(ge=1, strict=True)]


class SearchConfig(schemas.Versioned):
    """The complete configuration of a search, sufficient to repeat it.

    `training` describes the training of each candidate, with all seeds; its placements are always
    tried. `halving` is the factor by which successive halving reduces the steps, and 1 where every
    trial takes them all.
    """

    training: TrainingConfig
    space: Choices = Choices()
    budget: dict[str, str] = Field(default_factory=dict, description="upper limit of each metric")
    objectives: list[str] = Field(default=["params"], min_length=1)
    sampler: Sampler = "tpe"
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    trials: _Count
    halving: _Count = 1
    rungs: _Count = 1
    max_steps: _Count | None = Field(
        default=None, description="steps of all runs that choose; what trials leave is raced with"
    )
    max_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="no trial and no round of the race is begun later"
    )
    confirm_seeds: Annotated[int, Field(ge=0, strict=True)] = 5
    confirm_start: Literal["scratch"] | None = Field(
        default=None, description="the start of runs on fresh seeds, if not that of the trials"
    )
    first_look: _Count | None = Field(
        default=None, description="fresh seeds at the first report; all of them if left out"
    )
    storage: SecretStr | None = Field(
        default=None, description="Optuna storage URL; SQLite in the run folder if left out"
    )
    study: Annotated[str, Field(min_length=1)] = "bamctl"

    def steps(self) -> tuple[int, ...]:
        """Return how many steps each rung of a trial takes, the last being all."""
        full = self.training.recipe.steps
        return tuple(max(full // self.halving**rung, 1) for rung in reversed(range(self.rungs)))

    @property
    def confirms_from_scratch(self) -> bool:
        """Whether the front is judged without trunks, though it was found with them."""
        return self.confirm_start == "scratch" and self.training.trunk_steps > 0

    def steps_of_run(self) -> int:
        """Return the steps of one candidate with one seed, after the trunk."""
        return self.training.recipe.steps - self.training.trunk_steps

    def steps_of_trials(self) -> int:
        """Return the steps of all trials, with their trunks."""
        of_seed = self.training.trunk_steps + self.trials * self.steps_of_run()
        return len(self.training.seeds) * of_seed

    def steps_to_race(self) -> int:
        """Return the steps that the trials leave."""
        return max((self.max_steps or 0) - self.steps_of_trials(), 0)

    def without_password(self) -> "SearchConfig":
        """Return the configuration without the password of its storage."""
        if self.storage is None:
            return self
        shown = masking.url(self.storage.get_secret_value())
        return self.model_copy(update={"storage": SecretStr(shown)})

    def identity(self) -> dict[str, Any]:
        """Return everything that a trial depends on; searches of one study agree on it."""
        left_out = {*JUDGING, "placements", "device"}
        training = self.training.model_dump(mode="json", exclude=left_out)
        training = as_older_versions_wrote(training)
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
            raise InputError("the configuration of a search must be a mapping", path=path, line=1)
        if "recipe" in file.data:
            raise InputError(f"{path} is for a training; pass its folder to `bamctl train`")
        return schemas.from_yaml(cls, file)

    def save(self, path: Path) -> None:
        """Write the configuration as YAML, without the password of its storage.

        Raises:
            InputError: the file cannot be written.
        """
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        if storage := self.without_password().storage:
            data["storage"] = storage.get_secret_value()
        data["training"] = self.training.as_written()
        yaml_files.dump(path, data)
