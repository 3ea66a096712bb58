"""Validation of data against a schema, with one-line errors that say what would be right."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from bamctl.errors import InputError, did_you_mean, shown
from bamctl.files import yaml_files

Schema = TypeVar("Schema", bound=BaseModel)

_SUBJECT = re.compile("^(Value error, |(Input|String|List|Dictionary|Tuple) (?=should ))")
_PLAIN = {
    "missing": "is missing",
    "model_type": "should be a mapping",
    "dict_type": "should be a mapping",
}


def _version(value: Any) -> Any:
    # In Python, True and 1.0 equal 1.
    if type(value) is not int or value != 1:
        raise ValueError(f"should be 1, not {shown(value)}")
    return value


Version = Annotated[Literal[1], BeforeValidator(_version)]
PositiveInt = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]

# Pydantic's type of the error about an unknown key. Errors made by `unknown` list the known keys
# under `keys` in their context.
_UNKNOWN = "extra_forbidden"


class Versioned(BaseModel):
    """The outermost mapping of a file, with the version of its format."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Version = Field(default=1, alias="schema", description="version of this format")


def from_yaml(schema: type[Schema], file: yaml_files.YamlFile) -> Schema:
    """Validate the data of a YAML file.

    Raises:
        InputError: it does not fit the schema; names file and line.
    """
    try:
        return schema.model_validate(file.data)
    except ValidationError as error:
        key_path, message = explain(schema, error)
        raise InputError(
            message,
            path=file.path,
            line=file.line(key_path),
            key=str(key_path[0]) if key_path else None,
        ) from None


def from_options(schema: type[Schema], options: Mapping[str, Any]) -> Schema:
    """Validate values that did not come from a file.

    Raises:
        InputError: a value does not fit the schema.
    """
    try:
        return schema.model_validate(dict(options))
    except ValidationError as error:
        raise InputError(explain(schema, error)[1]) from None


def explain(schema: type[BaseModel], error: ValidationError) -> tuple[yaml_files.KeyPath, str]:
    """Return the key path of the first error, and one line that says what would be right."""
    errors = error.errors()
    # A misspelt key is often also reported as missing; the misspelling is the more helpful error.
    first = next((e for e in errors if e["type"] == _UNKNOWN), errors[0])
    key_path, given = tuple(first["loc"]), first["input"]
    where = ".".join(map(str, key_path))
    if first["type"] == _UNKNOWN:
        fields = first.get("ctx", {}).get("keys") or _fields_at(schema, key_path[:-1])
        known = did_you_mean(str(key_path[-1]), fields) or f"; the keys are {', '.join(fields)}"
        return key_path, f"unknown key {where!r}{known}"
    if first["type"] == "literal_error":
        options = first["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        near = did_you_mean(str(given), options)
        return key_path, f"{where}: {shown(given)} is not one of {', '.join(options)}{near}"
    # Strip the subject of "Input should be less than 1", "String should have at least 1 character".
    message = _PLAIN.get(first["type"]) or _SUBJECT.sub("", first["msg"])
    if first["type"] == "missing":
        return key_path, f"{where} {message}"
    # Messages of our validators include the value; pydantic's do not.
    told = "" if first["type"] == "value_error" else f", not {shown(given)}"
    return key_path, f"{where}: {message}{told}" if where else message


def unknown(key: str, value: Any, keys: Iterable[str]) -> ValidationError:
    """Return the error about an unknown key."""
    error = PydanticCustomError(_UNKNOWN, "unknown key", {"keys": list(keys)})
    return invalid(error, value, key)


def invalid(
    error: str | PydanticCustomError, given: Any, *loc: str, **context: Any
) -> ValidationError:
    """Return the error of one of our validators, in the form of pydantic's.

    Args:
        error: pydantic's type of the error, or a custom error.
        given: the invalid value.
        loc: its key path.
        context: the values that the error's message names.
    """
    details = InitErrorDetails(type=error, loc=loc, input=given, ctx=context)
    return ValidationError.from_exception_data("data", [details])


def within(error: ValidationError, *loc: str) -> ValidationError:
    """Return the same errors for data nested in other data, at a key path."""
    details = [
        InitErrorDetails(
            type=each["type"],
            loc=(*loc, *each["loc"]),
            input=each["input"],
            ctx=each.get("ctx", {}),
        )
        for each in error.errors()
    ]
    return ValidationError.from_exception_data("data", details)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the schemas in an annotation, such as that of a dictionary's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _fields_at(schema: type[BaseModel], key_path: yaml_files.KeyPath) -> list[str]:
    """Return the known keys of a schema at a key path."""
    for part in key_path:
        field = schema.model_fields.get(str(part))
        schema = next(_models_in(field.annotation if field else None), schema)
    return [field.alias or name for name, field in schema.model_fields.items()]
