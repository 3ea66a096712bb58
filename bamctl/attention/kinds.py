"""The kinds of attention modules, and settings of any kind.

`KINDS` are those with a name; `OPEN_KINDS` are families of kinds, one for each name of a form, such
as `timm:NAME`. Torch is not loaded, so that placements are read and options shown without it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from bamctl.attention import extra_block
from bamctl.attention.bam.kind import Bam
from bamctl.attention.extra_block.kind import ExtraBlockKind
from bamctl.attention.kind import AttentionKind
from bamctl.attention.own.kind import OwnKind
from bamctl.attention.se.kind import Se
from bamctl.attention.settings import Settings
from bamctl.attention.timm_layers.kind import TimmKind
from bamctl.errors import InputError
from bamctl.files import schemas
from bamctl.networks.factories import is_factory
from bamctl.text.lists import series

# The first is the default of placements.
KINDS: dict[str, AttentionKind] = {"bam": Bam(), extra_block.NAME: ExtraBlockKind(), "se": Se()}


class OpenKind(NamedTuple):
    """A family of kinds: one for each name that matches.

    Args:
        matches: function that returns a true value for a name of this family.
        of: function that returns the kind of a name.
        settings: the settings of all its kinds.
        help: a short description, for help texts.
    """

    matches: Callable[[str], object]
    of: Callable[[str], AttentionKind]
    settings: type[Settings]
    help: str


# By the form of their names.
OPEN_KINDS: dict[str, OpenKind] = {
    "timm:NAME": OpenKind(
        re.compile(r"timm:\w+").fullmatch,
        cache(TimmKind),
        TimmKind.settings,
        "any of timm's attention modules that keeps a map's shape, such as timm:cbam",
    ),
    "package.module:factory": OpenKind(
        is_factory, cache(OwnKind), OwnKind.settings, "your own, called with the number of channels"
    ),
}

# Short names of well-known modules.
SHORT = {"cbam": "timm:cbam", "eca": "timm:eca"}


def kind_named(name: str) -> AttentionKind:
    """Return the kind with a name that `check_name` returned."""
    if name in KINDS:
        return KINDS[name]
    return next(each.of(name) for each in OPEN_KINDS.values() if each.matches(name))


def kind_of(settings: Settings) -> AttentionKind:
    """Return the kind of settings."""
    return kind_named(settings.module)


def in_order(names: Iterable[str]) -> dict[str, AttentionKind]:
    """Return kinds by their names: those of `KINDS` in its order, then the others as given."""
    names = list(names)
    ordered = [*(name for name in KINDS if name in names), *names]
    return {name: kind_named(name) for name in dict.fromkeys(ordered)}


def known() -> tuple[str, ...]:
    """Return the names of kinds, and the forms of names of open kinds."""
    return (*KINDS, *SHORT, *OPEN_KINDS)


def fields() -> dict[str, dict[str, FieldInfo]]:
    """Return every setting of every kind, by its name and then by the name of the kind."""
    schemas_of = {name: each.settings for name, each in (KINDS | OPEN_KINDS).items()}
    found: dict[str, dict[str, FieldInfo]] = {}
    for kind, schema in schemas_of.items():
        for name, field in schema.model_fields.items():
            found.setdefault(name, {})[kind] = field
    return found


def read(data: Any, default: str | None = None) -> Settings:
    """Read settings of the kind that `module` names.

    Args:
        data: a mapping, or settings, which are returned as they are.
        default: the kind if `data` has no `module`. Default: the first of `KINDS`.

    Raises:
        ValueError: the kind is unknown, or a setting is invalid or of another kind.
    """
    if isinstance(data, Settings):
        return data
    if not isinstance(data, Mapping):
        raise schemas.invalid("dict_type", data)
    name = check_name(data.get("module", default or next(iter(KINDS))), "module")
    kind = kind_named(name)
    schema = kind.settings
    for key in sorted(data.keys() - schema.model_fields, key=str):
        if key not in fields():
            raise schemas.unknown(key, data[key], schema.model_fields)
        raise ValueError(
            f"{name} is {kind.summary}, and {key} is a setting of "
            f"{series(fields()[key])}; drop {key}"
        )
    given = {"module": name} if "module" in data or name not in KINDS else {}
    return schema.model_validate({**data, **given})


def check_name(name: Any, *loc: str) -> str:
    """Return the name of a kind, written out if it is a short one.

    Raises:
        ValueError: there is no such kind.
    """
    name = SHORT.get(name, name) if isinstance(name, str) else name
    is_known = isinstance(name, str) and (
        name in KINDS or any(each.matches(name) for each in OPEN_KINDS.values())
    )
    if not is_known:
        expected = " or ".join(map(repr, known()))
        raise schemas.invalid("literal_error", name, *loc, expected=expected)
    return str(name)


def attention(default: str | None = None, /, **settings: Any) -> Settings:
    """Return the settings of an attention module, as a placement would read them.

    Args:
        default: the kind if `settings` has no `module`. Default: the first of `KINDS`.
        settings: settings of one kind.

    Raises:
        InputError: the kind is unknown, or a setting is invalid or of another kind.

    >>> attention(reduction=8).hyperparameters()["dilation"]
    4
    """
    try:
        return read(settings, default)
    except ValidationError as error:
        raise InputError(schemas.explain(Settings, error)[1]) from None
    except ValueError as error:
        raise InputError(str(error)) from None


def of_kind(own: Settings, name: str | None) -> Settings:
    """Return settings of the kind with a name, and with the same `init`; without one, `own`."""
    return own if name is None else overridden(own, read({"module": name}))


def factories(settings: Iterable[Settings]) -> tuple[str, ...]:
    """Return the user's factories that build the modules of some settings."""
    named = (kind_of(each).factory for each in settings)
    return tuple(dict.fromkeys(name for name in named if name))


def overridden(own: Settings, overrides: Settings) -> Settings:
    """Return settings updated with the fields that are explicitly set in the overrides.

    If the overrides are of another kind, only `init` is kept of the settings.

    Raises:
        InputError: the combined settings are invalid.
    """
    kept, given = own.model_dump(exclude_unset=True), overrides.model_dump(exclude_unset=True)
    if given.get("module", own.module) != own.module:
        kept = {name: value for name, value in kept.items() if name == "init"}
    return attention(own.module, **kept | given)


def difference(own: Settings, other: Settings) -> Settings:
    """Return the minimal overrides that turn settings into other ones."""
    is_another = own.module != other.module
    usual = kind_of(other).usual.model_copy(update={"init": own.init}) if is_another else own
    # Resolved values, since a default that depends on other settings would be that of `own`.
    values = other.hyperparameters()
    changed = {n: value for n, value in values.items() if getattr(other, n) != getattr(usual, n)}
    # An open kind's settings always have its name.
    named = {"module": other.module} if is_another or other.module not in KINDS else {}
    return type(other).model_validate(named | changed)


class _OfAnyKind:
    """Pydantic annotation that validates a field as settings of the kind that `module` names."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.read, serialization=core_schema.simple_ser_schema("any")
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(self.schema())

    def schema(self) -> core_schema.CoreSchema:
        """Return the schema of settings of any kind."""
        kinds = (each.settings.__pydantic_core_schema__ for each in (KINDS | OPEN_KINDS).values())
        return core_schema.union_schema([*kinds])

    def read(self, data: Any, info: ValidationInfo) -> Any:
        """Read a field; in an insertion, the default kind is that of the placement."""
        beside = (info.data or {}).get("attention")
        return read(data, beside.module if isinstance(beside, Settings) else None)


class _OneOrMore(_OfAnyKind):
    """The same for settings, or a list of them."""

    def schema(self) -> core_schema.CoreSchema:
        """Return the schema of settings of any kind, or of a list of them."""
        one = super().schema()
        return core_schema.union_schema([one, core_schema.list_schema(one, min_length=1)])

    def read(self, data: Any, info: ValidationInfo) -> Any:
        """Read settings, or a list of them as a tuple."""
        if not isinstance(data, list | tuple):
            return super().read(data, info)
        if not data:
            raise ValueError("should have at least one module")
        found = []
        for index, each in enumerate(data):
            try:
                found.append(super().read({} if each is None else each, info))
            except ValidationError as error:
                raise schemas.within(error, str(index)) from None
        return tuple(found)


Attention = Annotated[Settings, _OfAnyKind()]
Modules = Annotated[Settings | tuple[Settings, ...], _OneOrMore()]
