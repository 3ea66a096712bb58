"""Placements: which cut points get which attention module with which hyperparameters."""

import glob
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    model_validator,
)

from bamctl import inputs, schemas, yaml_files
from bamctl.budget import Budget
from bamctl.errors import InputError, did_you_mean, shown
from bamctl.hyperparameters import EXTRA_BLOCK_FIELDS, Attention, PositiveInt

STRATEGIES = ("bottleneck", "block")


def _written(given: inputs.Inputs) -> str | list[str]:
    return str(given[0]) if len(given) == 1 else list(map(str, given))


def _stages(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"should be 'all' or a whole number of at least 1, not {shown(value)}")


def _patterns(value: Any) -> Any:
    listed = value if isinstance(value, list | tuple) else [value]
    if not listed or not all(isinstance(name, str) and name.strip() for name in listed):
        right = "should be bottleneck, block, a module name, a glob, or a list of those"
        raise ValueError(f"{right}, not {shown(value)}")
    return value if isinstance(value, str) else list(listed)


InputsField = Annotated[
    inputs.Inputs,
    BeforeValidator(inputs.read, json_schema_input_type=str | list[int] | list[str]),
    PlainSerializer(_written, return_type=str | list[str]),
]
Stages = Annotated[int | Literal["all"], BeforeValidator(_stages)]
Where = Annotated[str | list[str], BeforeValidator(_patterns)]
Patterns = Annotated[list[str], BeforeValidator(_patterns)]


class Placement(BaseModel):
    """Which cut points of a network get which attention module.

    `where` is a strategy (`bottleneck`, `block`), a module name, a glob over the cut points, or a
    list of those. `insertions` overrides hyperparameters site by site; when `where` is left out,
    its keys are the sites.

    >>> Placement(where=["layer1", "layer2"], attention={"reduction": 8}).attention.reduction
    8
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: schemas.Version = Field(
        default=1, alias="schema", description="version of this format"
    )
    model: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="a torchvision model, such as resnet50; timm:NAME; or package.module:factory",
    )
    args: dict[str, JsonValue] = Field(
        default_factory=dict, description="keyword arguments for what builds the network"
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
    stages: Stages = Field(default=3, description="bottlenecks, counted from the deepest, or all")
    attention: Attention = Attention()
    where: Where | None = Field(
        default=None, description="bottleneck, block, a module name, a glob, or a list of them"
    )
    insertions: dict[str, Attention] = Field(
        default_factory=dict, description="module name -> hyperparameters of that site"
    )
    budget: Budget | None = Field(
        default=None, description="what the network may cost, for `bamctl check`"
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_written(cls, data: Any) -> Any:
        """`attention:` with nothing behind it is null in YAML; take it as left out."""
        if not isinstance(data, Mapping):
            return data
        # An unknown key stays, whatever stands behind it, so that it is refused.
        kept = {key: value for key, value in data.items() if value is not None or key not in _KEYS}
        if isinstance(kept.get("insertions"), Mapping):
            kept["insertions"] = {
                name: {} if own is None else own for name, own in kept["insertions"].items()
            }
        return kept

    def patterns(self) -> tuple[str, ...]:
        """The strategies, module names and globs to place at, in order."""
        if self.where is None:
            return tuple(self.insertions) or ("bottleneck",)
        return (self.where,) if isinstance(self.where, str) else tuple(self.where)

    def with_overrides(self, overrides: "Placement") -> "Placement":
        """This placement with what was set, and not only defaulted, in the overrides.

        Another `where` also replaces the sites that have hyperparameters of their own; `args` are
        overridden one by one.

        Raises:
            InputError: what is set does not go together.
        """
        given = overrides._set()
        if "attention" in given:
            given["attention"] = self.attention.overridden(overrides.attention)
        if "args" in given:
            given["args"] = {**self.args, **overrides.args}
        if "where" in given:
            given.setdefault("insertions", {})
        return self.model_copy(update=given)

    def without(self, fields: Collection[str]) -> "Placement":
        """This placement with some fields left out; what was set stays set, and nothing more."""
        return Placement(**{name: v for name, v in self._set().items() if name not in fields})

    def _set(self) -> dict[str, Any]:
        names = (name for name in Placement.model_fields if name in self.model_fields_set)
        return {name: getattr(self, name) for name in names}

    def with_sites(self, sites: Mapping[str, Attention]) -> "Placement":
        """This placement with its sites written out, so that it means them in any version."""
        overrides = {
            name: self.attention.difference(own)
            for name, own in sites.items()
            if own != self.attention
        }
        where = [as_pattern(name) for name in sites]
        return self.model_copy(update={"where": where, "insertions": overrides})

    @classmethod
    def load(cls, path: str | Path) -> "Placement":
        """Read a placement from a YAML file.

        Raises:
            InputError: the file cannot be read, or does not fit the schema; names file and line.
        """
        return cls.from_yaml(yaml_files.load(Path(path)))

    @classmethod
    def from_yaml(cls, file: yaml_files.YamlFile) -> "Placement":
        """A placement from a YAML file that is read already.

        Raises:
            InputError: it does not fit the schema; names file and line.
        """
        if not isinstance(file.data, Mapping):
            raise InputError(f"{file.path}:1: a placement is a mapping; begin it with 'schema: 1'")
        return schemas.from_yaml(cls, file)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Placement":
        """A placement from values that did not come from a file.

        Raises:
            InputError: a value does not fit the schema.
        """
        return schemas.from_options(cls, options)

    @classmethod
    def from_json(cls, text: str) -> "Placement":
        """A placement from the JSON that `to_json` wrote.

        Raises:
            InputError: it is not such a text.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"its placement is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise InputError("its placement is not a JSON object")
        return cls.from_options(data)

    def to_json(self) -> str:
        """The placement as one line of JSON."""
        return json.dumps(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The placement in plain values, with every hyperparameter, so that defaults seem set."""
        data = self.model_dump(by_alias=True, exclude_none=True)
        data["insertions"] = {
            name: site.model_dump(exclude_unset=True, exclude_none=True)
            for name, site in self.insertions.items()
        }
        if self.attention.module == "extra-block":
            data["attention"] = self.attention.model_dump(include=set(EXTRA_BLOCK_FIELDS))
        return {key: value for key, value in data.items() if value not in ({}, [])}

    def as_written(self) -> dict[str, Any]:
        """The placement in plain values for a file that is used later, without an unset `init`.

        How the weights start is chosen where they are made: written down, the default would be
        taken for a choice, and `bamctl train --pretrained` would not start at identity.
        """
        data = self.as_dict()
        if "init" not in self.attention.model_fields_set:
            del data["attention"]["init"]
        return data

    def save(self, path: str | Path) -> None:
        """Write the placement as YAML, `as_written`.

        Raises:
            InputError: the file cannot be written.
        """
        yaml_files.dump(Path(path), self.as_written())


_KEYS = frozenset(field.alias or name for name, field in Placement.model_fields.items())


def as_pattern(name: str) -> str:
    """A pattern of `where` that means this one module, whatever it is called.

    >>> as_pattern("layer1.0"), as_pattern("bottleneck"), as_pattern("mix[0]")
    ('layer1.0', '[b]ottleneck', 'mix[[]0]')
    """
    return f"[{name[0]}]{name[1:]}" if name in STRATEGIES else glob.escape(name)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a placement file, for editors that complete and check YAML."""
    schema = Placement.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def shipped_folder() -> Path:
    """Where the shipped placements are: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "placements"
    return inside if inside.is_dir() else package.parent / "placements"


def shipped_names() -> tuple[str, ...]:
    """The placements that come with bamctl, such as `bottleneck` and `paper/reduction-8`."""
    folder = shipped_folder()
    files = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return tuple(sorted(file.with_suffix("").as_posix() for file in files))


def find(name_or_path: str | Path) -> Placement:
    """Load a placement by path, or by the name of a shipped one.

    Raises:
        InputError: there is no such file or name, or it is not a valid placement.
    """
    if Path(name_or_path).suffix == ".safetensors":
        raise InputError(
            f"{name_or_path} is a file of weights; give it to --weights, which reads its placement"
        )
    if Path(name_or_path).exists():
        return Placement.load(name_or_path)
    name, names = str(name_or_path), shipped_names()
    if name in names:
        return Placement.load(shipped_folder() / f"{name}.yaml")
    near = did_you_mean(name, names) or f"; the shipped ones are {', '.join(names)}"
    raise InputError(f"no placement file or shipped placement {name!r}{near}")
