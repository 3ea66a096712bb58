"""What a search chooses from: the candidate points, and the choices of each hyperparameter."""

from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bamctl.hyperparameters import Attention, Branches, Combine, Init, Module, Variant
from bamctl.placement import Patterns, Stages

HYPERPARAMETERS = ("reduction", "dilation", "branches", "combine", "variant")

_Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Choices(BaseModel):
    """What a search chooses from; the paper's values come first where they are among the choices.

    `per_site` gives every site hyperparameters of its own; otherwise all sites share them, and
    only whether and which module stands there is the site's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidates: Patterns = Field(default=["block"])
    stages: Stages = 3
    per_site: bool = False
    module: list[Module] = Field(default=["bam"], min_length=1)
    reduction: list[_Count] = Field(default=[16, 4, 8, 32], min_length=1)
    dilation: list[_Count] = Field(default=[4, 1, 2], min_length=1)
    branches: list[Branches] = Field(default=["both", "channel", "spatial"], min_length=1)
    combine: list[Combine] = Field(default=["sum", "product"], min_length=1)
    variant: list[Variant] = Field(default=["paper"], min_length=1)
    init: Init = "kaiming"

    def of_hyperparameters(self) -> dict[str, list[Any]]:
        """The choices of each hyperparameter, the paper's first and each once."""
        usual = Attention().hyperparameters()
        found = {}
        for name in HYPERPARAMETERS:
            given = dict.fromkeys(getattr(self, name))
            first = [choice for choice in given if choice == usual[name]]
            found[name] = first + [choice for choice in given if choice != usual[name]]
        return found

    def settings(self) -> tuple[tuple[Any, ...], ...]:
        """Every combination of hyperparameters; the first is nearest to the paper's."""
        return tuple(product(*self.of_hyperparameters().values()))
