"""Settings that all kinds of attention modules share; torch is not loaded."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Init = Literal["kaiming", "identity"]
InitField = Annotated[
    Init, Field(description="identity leaves the outputs unchanged until training moves it")
]


class Settings(BaseModel):
    """The settings of one kind of attention module: keys of placements, options of commands.

    A subclass has `module`, a literal with the kind's name, as its first field and `init` as its
    last. Between them are the settings of the kind, each with a default and a description.

    `searched` maps the settings that a search varies to their choices, the default first. Their
    order is that of the parameters in a study, so append new ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    searched: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    module: str
    if TYPE_CHECKING:
        # Annotated only, since pydantic orders fields of the base before those of the subclass.
        init: Init

    def hyperparameters(self) -> dict[str, Any]:
        """Return the keyword arguments of the module."""
        return self.model_dump(exclude={"module"})


def value_type(field: FieldInfo) -> Any:
    """Return the type of a setting with its constraints, without None."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    return Annotated[(annotation, *field.metadata)] if field.metadata else annotation
