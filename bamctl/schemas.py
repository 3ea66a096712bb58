"""Data against a schema, with one line that says what is wrong and what would be right."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ValidationError

from bamctl import yaml_files
from bamctl.errors import InputError, did_you_mean, shown

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


def from_yaml(schema: type[Schema], file: yaml_files.YamlFile) -> Schema:
    """What a YAML file holds, as its schema has it.

    Raises:
        InputError: it does not fit the schema; names file and line.
    """
    try:
        return schema.model_validate(file.data)
    except ValidationError as error:
        key_path, message = _explain(schema, error)
        raise InputError(f"{file.path}:{file.line(key_path)}: {message}") from None


def from_options(schema: type[Schema], options: Mapping[str, Any]) -> Schema:
    """Values that did not come from a file, as their schema has them.

    Raises:
        InputError: a value does not fit the schema.
    """
    try:
        return schema.model_validate(dict(options))
    except ValidationError as error:
        raise InputError(_explain(schema, error)[1]) from None


def _explain(schema: type[BaseModel], error: ValidationError) -> tuple[yaml_files.KeyPath, str]:
    """The key path of the first thing wrong, and one line that says what would be right."""
    errors = error.errors()
    # A misspelt key is often also a missing one; the spelling is what helps.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    key_path, given = tuple(first["loc"]), first["input"]
    where = ".".join(map(str, key_path))
    if first["type"] == "extra_forbidden":
        fields = _fields_at(schema, key_path[:-1])
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
