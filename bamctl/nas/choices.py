"""The choices of a search: candidate points, modules, and values of each setting."""

from collections.abc import Collection, Mapping
from contextlib import suppress
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
from bamctl.attention.arguments import Arguments
from bamctl.attention.kind import AttentionKind
from bamctl.attention.kinds import KINDS, in_order, kind_named
from bamctl.attention.settings import Init, value_type
from bamctl.files import schemas
from bamctl.placement.patterns import Patterns
from bamctl.placement.placement import Stages

_Module = Annotated[str, AfterValidator(kinds.check_name)]


class Choices(BaseModel):
    """The choices of a search; default values come first where they are among them.

    In addition to the fields there is a list of choices for each searched setting of the chosen
    kinds, under its name; kinds that have the same setting share it.

    `args` has keyword arguments of modules of timm or of one's own, by the module.

    With `per_site`, every site has separate hyperparameters; otherwise all sites share them, and
    only the module, if any, is chosen per site.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    candidates: Patterns = Field(default=["block"])
    stages: Stages = 3
    per_site: bool = False
    module: list[_Module] = Field(default=[next(iter(KINDS))], min_length=1)
    init: Init = "kaiming"
    args: dict[_Module, Arguments] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _with_usual_choices(cls, data: Any) -> Any:
        """Write out the choices of the chosen kinds; keep those of other kinds that were passed."""
        if not isinstance(data, Mapping):
            return data
        named = data.get("module", cls.model_fields["module"].default)
        usual: dict[str, list[Any]] = {}
        for kind in _kinds(named):
            for name, choices in kind.searched.items():
                usual[name] = [*dict.fromkeys([*usual.get(name, []), *choices])]
        return usual | dict(data)

    @model_validator(mode="after")
    def _choices_are_valid(self) -> "Choices":
        searched = dict.fromkeys(name for kind in self._every_kind() for name in kind.searched)
        for setting, given in (self.model_extra or {}).items():
            if setting not in searched:
                raise schemas.unknown(setting, given, [*Choices.model_fields, *searched])
            _check(setting, given, self.module)
        for module in self.args:
            if module not in self.module:
                raise ValueError(f"args: {module} is not among the modules; drop it")
            if "args" not in kind_named(module).settings.model_fields:
                raise ValueError(f"args: {module} takes no arguments; drop it")
        return self

    def _every_kind(self) -> list[AttentionKind]:
        return list(in_order([*KINDS, *self.module]).values())

    def of_hyperparameters(self) -> dict[str, list[Any]]:
        """Return the distinct choices of each hyperparameter, the default first."""
        found: dict[str, list[Any]] = {}
        for kind in self._every_kind():
            for name, choices in kind.searched.items():
                if name in (self.model_extra or {}) and name not in found:
                    given = dict.fromkeys(getattr(self, name))
                    found[name] = sorted(given, key=choices[0].__ne__)
        return found

    def settings(self) -> tuple[dict[str, Any], ...]:
        """Return every combination of hyperparameters; the first is nearest to the defaults."""
        choices = self.of_hyperparameters()
        return tuple(dict(zip(choices, each, strict=True)) for each in product(*choices.values()))


def _kinds(names: Any) -> list[AttentionKind]:
    """Return the kinds of those names that are valid."""
    valid = []
    for name in names if isinstance(names, list) else ():
        with suppress(ValueError):
            valid.append(kinds.check_name(name))
    return list(in_order(valid).values())


def _check(setting: str, given: Any, modules: Collection[str]) -> None:
    """Raise for choices that are invalid for a kind which has the setting."""
    every = (kind.settings.model_fields for kind in in_order(modules).values())
    own = [fields[setting] for fields in every if setting in fields]
    for field in own or list(kinds.fields()[setting].values())[:1]:
        several: Any = GenericAlias(list, (value_type(field),))
        listed = TypeAdapter[list[Any]](Annotated[several, Field(min_length=1)])
        try:
            listed.validate_python(given)
        except ValidationError as error:
            raise schemas.within(error, setting) from None
