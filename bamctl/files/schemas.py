"""Data against a schema, with one line that says what is wrong and what would be right."""

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

# Pydantic's name of the error about a key that a schema does not have. That of `unknown` has the
# right ones under `keys` in its context.
_UNKNOWN = "extra_forbidden"


class Versioned(BaseModel):
    """The outermost mapping of a file, which says in which version of its format it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Version = Field(default=1, alias="schema", description="version of this format")


def from_yaml(schema: type[Schema], file: yaml_files.YamlFile) -> Schema:
    """Return what a YAML file holds, as its schema has it.

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
    """Values that did not come from a file, as their schema has them.

    Raises:
        InputError: a value does not fit the schema.
    """
    try:
        return schema.model_validate(dict(options))
    except ValidationError as error:
        raise InputError(explain(schema, error)[1]) from None


def explain(schema: type[BaseModel], error: ValidationError) -> tuple[yaml_files.KeyPath, str]:
    """The key path of the first thing wrong, and one line that says what would be right."""
    errors = error.errors()
    # A misspelt key is often also a missing one; the spelling is what helps.
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
    # Of "Input should be less than 1", "String should have at least 1 character", and such.
    message = _PLAIN.get(first["type"]) or _SUBJECT.sub("", first["msg"])
    if first["type"] == "missing":
        return key_path, f"{where} {message}"
    # Our own validators say what they were given; pydantic's do not.
    told = "" if first["type"] == "value_error" else f", not {shown(given)}"
    return key_path, f"{where}: {message}{told}" if where else message


def unknown(key: str, value: Any, keys: Iterable[str]) -> ValidationError:
    """The error about a key that is not one of some."""
    error = PydanticCustomError(_UNKNOWN, "unknown key", {"keys": list(keys)})
    return invalid(error, value, key)


def invalid(
    error: str | PydanticCustomError, given: Any, *loc: str, **context: Any
) -> ValidationError:
    """The error of a validator of ours, in the form of pydantic's own.

    Args:
        error: pydantic's name of it, or a custom one.
        given: the value that is wrong.
        loc: the keys that lead to it.
        context: what the message of that error names.
    """
    details = InitErrorDetails(type=error, loc=loc, input=given, ctx=context)
    return ValidationError.from_exception_data("data", [details])


def within(error: ValidationError, *loc: str) -> ValidationError:
    """The same error about data that is part of other data, at some keys."""
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
    """The schemas that an annotation is made of, such as that of the values of a dictionary."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _fields_at(schema: type[BaseModel], key_path: yaml_files.KeyPath) -> list[str]:
    """The keys that the schema knows at a place in a placement."""
    for part in key_path:
        field = schema.model_fields.get(str(part))
        schema = next(_models_in(field.annotation if field else None), schema)
    return [field.alias or name for name, field in schema.model_fields.items()]
