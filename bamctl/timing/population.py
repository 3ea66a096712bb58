"""What the fitted devices tell of any other: their coefficients' mean and spread."""

from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, Field

from bamctl.files import schemas, yaml_files
from bamctl.timing.hardware import STRICT, Coefficients, Fraction
from bamctl.timing.spread import Spread


class DeviceErrors(BaseModel):
    """Errors of the estimates of one device, from the times of the others and its data sheet."""

    model_config = STRICT

    mean_error: Fraction
    max_error: Fraction
    rank_correlation: float
    one_known_error: Fraction = Field(
        description="mean error if the time of one network of the device is known"
    )


class Population(schemas.Versioned):
    """Coefficients learnt over several devices, for one of which only the data sheet is known."""

    devices: list[str]
    num_networks: int
    batch_sizes: list[int]
    source: str
    coefficients: Coefficients
    spread: Spread
    left_out: dict[str, DeviceErrors] = Field(description="by the device that was left out")

    @property
    def mean_error(self) -> float:
        """The mean error over the devices that were left out."""
        return sum(each.mean_error for each in self.left_out.values()) / len(self.left_out)

    @property
    def one_known_error(self) -> float:
        """The mean error over the devices, of each of which one network's time is known."""
        errors = [each.one_known_error for each in self.left_out.values()]
        return sum(errors) / len(errors)

    def save(self, path: Path) -> None:
        """Write the population as a file."""
        yaml_files.dump(path, self.model_dump(mode="json", by_alias=True))


@cache
def shipped_population() -> Population:
    """Return the population of the shipped profiles."""
    path = Path(str(resources.files("bamctl.timing"))) / "data" / "population.yaml"
    return schemas.from_yaml(Population, yaml_files.load(path))
