"""`NetworkSpec`: a network by name, with the arguments of its builder."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer

from bamctl.errors import InputError
from bamctl.files.schemas import PositiveInt
from bamctl.networks import models
from bamctl.networks.inputs import Inputs, read

if TYPE_CHECKING:
    from torch import nn


def _written(given: Inputs) -> str | list[str]:
    return str(given[0]) if len(given) == 1 else list(map(str, given))


InputsField = Annotated[
    Inputs,
    BeforeValidator(read, json_schema_input_type=str | list[int] | list[str]),
    PlainSerializer(_written, return_type=str | list[str]),
]


class NetworkSpec(BaseModel):
    """A network by its name and the options of its builder; nothing is built until `build`.

    Placements and the configurations of trainings have the same fields, and inherit them.

    >>> NetworkSpec(model="resnet18", num_classes=10).inputs
    (Input(shape=(3, 224, 224), dtype=None),)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="a torchvision model, such as resnet50; timm:NAME; or package.module:factory",
    )
    args: dict[str, JsonValue] = Field(
        default_factory=dict, description="keyword arguments of the model builder"
    )
    input: InputsField | None = Field(
        default=None, description="channels x height x width, or a list with one for each argument"
    )
    num_classes: PositiveInt | None = Field(
        default=None, description="classes of the network's head"
    )
    stem: Literal["small"] | None = Field(
        default=None, description="3x3 stride-1 stem without pooling"
    )

    @property
    def name(self) -> str:
        """The name of the network.

        Raises:
            InputError: the spec has no name.
        """
        if self.model is None:
            raise InputError(
                "no model: add `model: resnet50` to the placement, give --model, or set it under "
                "[tool.bamctl] in pyproject.toml",
                key="model",
            )
        return self.model

    @property
    def inputs(self) -> Inputs:
        """The inputs of the network; those of its published weights if `input` is left out.

        Raises:
            InputError: the network does not exist.
        """
        return self.input or models.default_inputs(self.name)

    @property
    def spec(self) -> "NetworkSpec":
        """The network alone, without the fields of a placement or training configuration."""
        given = self.given()
        return NetworkSpec.model_construct(set(given), **given)

    @property
    def key(self) -> str:
        """A string that is equal for equal specs only."""
        return json.dumps(self.spec.model_dump(), sort_keys=True)

    def given(self) -> dict[str, Any]:
        """Return the fields of the network that have a value."""
        values = ((name, getattr(self, name)) for name in NetworkSpec.model_fields)
        return {name: value for name, value in values if value not in (None, {})}

    def build(self, *, weights: str | None = None, initialize: bool = True) -> "nn.Module":
        """Build the network, as `models.build` does.

        Args:
            weights: the name of published weights, such as `DEFAULT`; downloaded.
            initialize: if False, the weights of torchvision's networks are zeros that take no
                memory, which suffices for a trace.

        Raises:
            InputError: the spec has no name, or the network cannot be built so.
            BamctlError: the weights cannot be downloaded.
        """
        return models.build(
            self.name,
            inputs=self.inputs,
            num_classes=self.num_classes,
            stem=self.stem,
            args=self.args,
            weights=weights,
            initialize=initialize,
        )
