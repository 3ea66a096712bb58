"""The settings of BAM, with the values of the paper as defaults; torch is not loaded."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bamctl.attention.settings import InitField, Settings
from bamctl.files.schemas import PositiveInt

PUBLISHED_COMBINE = {"paper": "sum", "official": "product"}


class BamSettings(Settings):
    """The hyperparameters of BAM."""

    searched: ClassVar = {
        "reduction": (16, 4, 8, 32),
        "dilation": (4, 1, 2),
        "branches": ("both", "channel", "spatial"),
        "combine": ("sum", "product"),
        "variant": ("paper",),
    }

    module: Literal["bam"] = Field(default="bam", description="the attention module")
    variant: Literal["paper", "official"] = Field(
        default="paper", description="the paper's equations, or the authors' released code"
    )
    reduction: PositiveInt = Field(default=16, description="channel reduction ratio r")
    dilation: PositiveInt = Field(default=4, description="dilation d of the 3x3 convolutions")
    dilated_convs: Annotated[int, Field(ge=0, le=64, strict=True)] = Field(
        default=2, description="number of dilated 3x3 convolutions"
    )
    branches: Literal["both", "channel", "spatial"] = Field(
        default="both", description="branches of the gate"
    )
    combine: Literal["sum", "product", "max"] | None = Field(
        default=None,
        description="combination of the branches; default: sum for paper, else product",
    )
    init: InitField = "kaiming"

    def hyperparameters(self) -> dict[str, Any]:
        """Return the keyword arguments of `BAM`, with the variant's `combine` if it is left out."""
        combine = self.combine or PUBLISHED_COMBINE[self.variant]
        return {**super().hyperparameters(), "combine": combine}
