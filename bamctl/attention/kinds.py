"""The kinds of attention modules, and settings of any kind.

Torch is not loaded, so that placements are read and options shown without it.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from bamctl.attention import extra_block
from bamctl.attention.bam.kind import Bam
from bamctl.attention.extra_block.kind import ExtraBlockKind
from bamctl.attention.kind import AttentionKind
from bamctl.attention.settings import Settings
from bamctl.errors import InputError
from bamctl.files import schemas

# The first is the default of placements.
KINDS: dict[str, AttentionKind] = {"bam": Bam(), extra_block.NAME: ExtraBlockKind()}


def kind_of(settings: Settings) -> AttentionKind:
    """Return the kind of settings."""
    return KINDS[settings.module]


def fields() -> dict[str, dict[str, FieldInfo]]:
    """Return every setting of every kind, by its name and then by the name of the kind."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for kind, each in KINDS.items():
        for name, field in each.settings.model_fields.items():
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
    schema = KINDS[name].settings
    for key in sorted(data.keys() - schema.model_fields, key=str):
        if key not in fields():
            raise schemas.unknown(key, data[key], schema.model_fields)
        raise ValueError(
            f"{name} is {KINDS[name].summary}, and {key} is a setting of "
            f"{' and '.join(fields()[key])}; drop {key}"
        )
    return schema.model_validate(data)


def check_name(name: Any, *loc: str) -> str:
    """Return the name of a kind.

    Raises:
        ValueError: there is no such kind.
    """
    if name not in list(KINDS):
        expected = " or ".join(map(repr, KINDS))
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
    usual = type(other).model_validate({"init": own.init}) if is_another else own
    # Resolved values, since a default that depends on other settings would be that of `own`.
    values = other.hyperparameters()
    changed = {n: value for n, value in values.items() if getattr(other, n) != getattr(usual, n)}
    named = {"module": other.module} if is_another else {}
    return type(other).model_validate(named | changed)


class _OfAnyKind:
    """Pydantic annotation that validates a field as settings of the kind that `module` names."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _read_field, serialization=core_schema.simple_ser_schema("any")
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        kinds = (kind.settings.__pydantic_core_schema__ for kind in KINDS.values())
        return handler(core_schema.union_schema([*kinds]))


def _read_field(data: Any, info: ValidationInfo) -> Settings:
    """Read a field; in an insertion, the default kind is that of the placement."""
    beside = (info.data or {}).get("attention")
    return read(data, beside.module if isinstance(beside, Settings) else None)


Attention = Annotated[Settings, _OfAnyKind()]
