"""The hyperparameters of attention modules, as placements and commands name them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bamctl import schemas

Module = Literal["bam", "extra-block"]
Variant = Literal["paper", "official"]
Branches = Literal["both", "channel", "spatial"]
Combine = Literal["sum", "product", "max"]
Init = Literal["kaiming", "identity"]

PUBLISHED_COMBINE: dict[str, Combine] = {"paper": "sum", "official": "product"}
EXTRA_BLOCK_FIELDS = frozenset({"module", "init"})

PositiveInt = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class Attention(BaseModel):
    """An attention module and its hyperparameters, with the values of the paper as defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: Module = Field(default="bam", description="what is inserted")
    variant: Variant = Field(
        default="paper", description="the paper's equations, or the released code"
    )
    reduction: PositiveInt = Field(default=16, description="channel reduction ratio r")
    dilation: PositiveInt = Field(default=4, description="dilation d of the 3x3 convolutions")
    dilated_convs: Annotated[int, Field(ge=0, le=64, strict=True)] = Field(
        default=2, description="number of dilated 3x3 convolutions"
    )
    branches: Branches = Field(default="both", description="the branches that make the gate")
    combine: Combine | None = Field(
        default=None,
        description="how the branches are combined; left out: sum for paper, else product",
    )
    init: Init = Field(
        default="kaiming", description="identity: outputs are unchanged at the moment of insertion"
    )

    @model_validator(mode="after")
    def _extra_block_has_no_gate(self) -> "Attention":
        unused = sorted(self.model_fields_set - EXTRA_BLOCK_FIELDS)
        if self.module == "extra-block" and unused:
            raise ValueError(f"extra-block is a copy of the network's own block; drop {unused[0]}")
        return self

    def overridden(self, overrides: "Attention") -> "Attention":
        """This attention with what was set, and not only defaulted, in the overrides.

        Raises:
            InputError: what is set does not go together.
        """
        own = self.model_dump(exclude_unset=True)
        given = overrides.model_dump(exclude_unset=True)
        if given.get("module", self.module) != self.module:
            # Another module has other hyperparameters.
            own = {name: value for name, value in own.items() if name in EXTRA_BLOCK_FIELDS}
        return schemas.from_options(Attention, own | given)

    def difference(self, other: "Attention") -> "Attention":
        """The overrides that make another attention of this one, and no more than these."""
        fields = EXTRA_BLOCK_FIELDS if other.module == "extra-block" else Attention.model_fields
        changed = {
            name: getattr(other, name)
            for name in Attention.model_fields
            if name in fields and getattr(other, name) != getattr(self, name)
        }
        if "combine" in changed:
            # Left out, it would not be that of the variant, but that of this attention.
            changed["combine"] = other.hyperparameters()["combine"]
        return Attention.model_validate(changed)

    def hyperparameters(self) -> dict[str, Any]:
        """The keyword arguments of the module, `combine` being the variant's own if left out."""
        if self.module == "extra-block":
            return {"init": self.init}
        combine = self.combine or PUBLISHED_COMBINE[self.variant]
        return {**self.model_dump(exclude={"module"}), "combine": combine}
