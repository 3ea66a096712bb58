"""The choices of a search: candidate points, modules, and values of each setting."""

from collections.abc import Collection, Mapping
from itertools import product
from types import GenericAlias
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from bamctl.attention import kinds
from bamctl.attention.kinds import KINDS
from bamctl.attention.settings import Init, value_type
from bamctl.files import schemas
from bamctl.placement.placement import Patterns, Stages

_Module = Annotated[str, AfterValidator(kinds.check_name)]


class Choices(BaseModel):
    """The choices of a search; default values come first where they are among them.

    In addition to the fields there is a list of choices for each searched setting of the chosen
    kinds, under its name; kinds that have the same setting share it.

    With `per_site`, every site has separate hyperparameters; otherwise all sites share them, and
    only the module, if any, is chosen per site.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    candidates: Patterns = Field(default=["block"])
    stages: Stages = 3
    per_site: bool = False
    module: list[_Module] = Field(default=[next(iter(KINDS))], min_length=1)
    init: Init = "kaiming"

    @model_validator(mode="before")
    @classmethod
    def _with_usual_choices(cls, data: Any) -> Any:
        """Write out the choices of the chosen kinds; keep those of other kinds that were passed."""
        if not isinstance(data, Mapping):
            return data
        named = data.get("module", cls.model_fields["module"].default)
        chosen = [kind for name, kind in KINDS.items() if isinstance(named, list) and name in named]
        usual: dict[str, list[Any]] = {}
        for kind in chosen:
            for name, choices in kind.settings.searched.items():
                usual[name] = [*dict.fromkeys([*usual.get(name, []), *choices])]
        return usual | dict(data)

    @model_validator(mode="after")
    def _choices_are_valid(self) -> "Choices":
        searched = dict.fromkeys(name for kind in KINDS.values() for name in kind.settings.searched)
        for setting, given in (self.model_extra or {}).items():
            if setting not in searched:
                raise schemas.unknown(setting, given, [*Choices.model_fields, *searched])
            _check(setting, given, self.module)
        return self

    def of_hyperparameters(self) -> dict[str, list[Any]]:
        """Return the distinct choices of each hyperparameter, the default first."""
        found: dict[str, list[Any]] = {}
        for kind in KINDS.values():
            usual = kind.usual.hyperparameters()
            for name in kind.settings.searched:
                if name in (self.model_extra or {}) and name not in found:
                    given = dict.fromkeys(getattr(self, name))
                    found[name] = sorted(given, key=usual[name].__ne__)
        return found

    def settings(self) -> tuple[dict[str, Any], ...]:
        """Return every combination of hyperparameters; the first is nearest to the defaults."""
        choices = self.of_hyperparameters()
        return tuple(dict(zip(choices, each, strict=True)) for each in product(*choices.values()))


def _check(setting: str, given: Any, modules: Collection[str]) -> None:
    """Raise for choices that are invalid for a kind which has the setting."""
    every = kinds.fields()[setting]
    for kind in [name for name in every if name in modules] or list(every)[:1]:
        several: Any = GenericAlias(list, (value_type(every[kind]),))
        own = TypeAdapter[list[Any]](Annotated[several, Field(min_length=1)])
        try:
            own.validate_python(given)
        except ValidationError as error:
            raise schemas.within(error, setting) from None
