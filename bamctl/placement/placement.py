"""Placements: which cut points get which attention module with which hyperparameters."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bamctl.attention.kinds import (
    Attention,
    Modules,
    attention,
    difference,
    factories,
    of_kind,
    overridden,
)
from bamctl.attention.settings import Settings
from bamctl.errors import InputError, shown
from bamctl.files import schemas, yaml_files
from bamctl.networks import models, trust
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.budget import Budget
from bamctl.placement.patterns import Where, as_pattern, split
from bamctl.trunk import strategies
from bamctl.trunk.strategies import DEFAULT_STRATEGY


def _stages(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"should be 'all' or a whole number of at least 1, not {shown(value)}")


Stages = Annotated[int | Literal["all"], BeforeValidator(_stages)]


class Placement(NetworkSpec, schemas.Versioned):
    """Which cut points of a network get which attention module.

    `where` is a strategy (such as `bottleneck`), a module name, a glob over module names, or a list
    of those; each may name the kind of its modules, as in `layer3=se`, and several kinds at one
    point are inserted in that order. `insertions` overrides hyperparameters site by site, or lists
    the modules of a site in their order; when `where` is left out, its keys are the sites.

    >>> Placement(where=["layer1", "layer2"], attention={"reduction": 8}).attention.reduction
    8
    """

    stages: Stages = Field(default=3, description="bottlenecks, counted from the deepest, or all")
    attention: Attention = attention()
    where: Where | None = Field(
        default=None,
        description=f"{strategies.named()}, a module name, a glob, or a list of them; "
        "with another module as NAME=MODULE",
    )
    insertions: dict[str, Modules] = Field(
        default_factory=dict,
        description="module name -> hyperparameters of that site, or a list of its modules",
    )
    budget: Budget | None = Field(
        default=None, description="what the network may cost, for `bamctl check`"
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_written(cls, data: Any) -> Any:
        """Drop keys with null, such as an empty `attention:` in YAML, as if left out."""
        if not isinstance(data, Mapping):
            return data
        # Unknown keys are kept, even with null, so that they are refused.
        kept = {key: value for key, value in data.items() if value is not None or key not in _KEYS}
        if isinstance(kept.get("insertions"), Mapping):
            kept["insertions"] = {
                name: {} if own is None else own for name, own in kept["insertions"].items()
            }
        return kept

    def patterns(self) -> tuple[str, ...]:
        """Return the strategies, module names and globs to place at, in order."""
        if self.where is None:
            return tuple(self.insertions) or (DEFAULT_STRATEGY,)
        return (self.where,) if isinstance(self.where, str) else tuple(self.where)

    def with_overrides(self, overrides: "Placement") -> "Placement":
        """Return this placement updated with the fields that are explicitly set in the overrides.

        A new `where` also replaces `insertions`; `args` are merged.

        Raises:
            InputError: the combined settings are invalid.
        """
        given = overrides._set()
        if "attention" in given:
            given["attention"] = overridden(self.attention, overrides.attention)
        if "args" in given:
            given["args"] = {**self.args, **overrides.args}
        if "where" in given:
            given.setdefault("insertions", {})
        return self.model_copy(update=given)

    def with_options(self, options: Mapping[str, Any]) -> "Placement":
        """Return this placement updated with options, such as those of a command line.

        Settings of the attention module without a `module` are of this placement's kind.

        Args:
            options: keys of a placement; those that are None or empty are left out.

        Raises:
            InputError: a value does not fit the schema, or the combined settings are invalid.
        """
        given = {name: value for name, value in options.items() if value not in (None, {}, [])}
        settings = given.get("attention")
        if isinstance(settings, Mapping) and "module" in self.attention.model_fields_set:
            given["attention"] = {"module": self.attention.module, **settings}
        return self.with_overrides(Placement.from_options(given))

    def with_network(self, network: NetworkSpec) -> "Placement":
        """Return this placement for another network."""
        names = NetworkSpec.model_fields
        return self.model_copy(update={name: getattr(network, name) for name in names})

    def or_for(self, network: NetworkSpec | None) -> "Placement":
        """Return this placement, for a network if it names none; fields that it sets stay."""
        if self.model is not None or network is None:
            return self
        return self.model_copy(update={**network.given(), **self.given()})

    def without_network(self) -> "Placement":
        """Return this placement without network and budget; explicitly set fields stay set."""
        left_out = {*NetworkSpec.model_fields, "budget"}
        return Placement(**{name: v for name, v in self._set().items() if name not in left_out})

    def _set(self) -> dict[str, Any]:
        names = (name for name in Placement.model_fields if name in self.model_fields_set)
        return {name: getattr(self, name) for name in names}

    def with_sites(self, sites: Mapping[str, Settings | tuple[Settings, ...]]) -> "Placement":
        """Return this placement with explicit sites, independent of bamctl's trunk finding.

        Args:
            sites: the settings of the module at each site, or of its modules in their order.
        """
        overrides: dict[str, Settings | tuple[Settings, ...]] = {}
        for name, own in sites.items():
            if isinstance(own, tuple):
                overrides[name] = tuple(difference(self.attention, each) for each in own)
            elif own != self.attention:
                overrides[name] = difference(self.attention, own)
        where = [as_pattern(name) for name in sites]
        return self.model_copy(update={"where": where, "insertions": overrides})

    def factories(self) -> tuple[str, ...]:
        """Return the user's factories that build its attention modules."""
        named = (split(pattern)[1] for pattern in self.patterns())
        of_where = (of_kind(self.attention, name) for name in named)
        return factories([self.attention, *of_where, *self._listed()])

    def _listed(self) -> Iterator[Settings]:
        """Yield the settings of all insertions."""
        for own in self.insertions.values():
            yield from own if isinstance(own, tuple) else (own,)

    def check_named_by(self, file: Path, *, with_network: bool) -> None:
        """Refuse factories that only a file names, unless `trust` allows them.

        Args:
            file: the file that this placement is from.
            with_network: whether its network comes from the file, too.

        Raises:
            InputError: one is not trusted; the message names the option that trusts it.
        """
        if with_network:
            models.check_named_by(self.model, file)
        for name in self.factories():
            trust.check_file(name, file)

    @classmethod
    def load(cls, path: str | Path) -> "Placement":
        """Read a placement from a YAML file.

        Raises:
            InputError: the file cannot be read, or does not fit the schema; with file and line.
        """
        return cls.from_yaml(yaml_files.load(Path(path)))

    @classmethod
    def from_yaml(cls, file: yaml_files.YamlFile) -> "Placement":
        """Return a placement from a parsed YAML file.

        Raises:
            InputError: it does not fit the schema; with file and line.
        """
        if not isinstance(file.data, Mapping):
            raise InputError(
                "a placement must be a mapping; start it with 'schema: 1'", path=file.path, line=1
            )
        return schemas.from_yaml(cls, file)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Placement":
        """Return a placement from values that are not from a file.

        Raises:
            InputError: a value does not fit the schema.
        """
        return schemas.from_options(cls, options)

    @classmethod
    def from_json(cls, text: str) -> "Placement":
        """Return a placement from the JSON that `to_json` wrote.

        Raises:
            InputError: the text is not such JSON, or does not fit the schema.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"its placement is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise InputError("its placement is not a JSON object")
        return cls.from_options(data)

    def to_json(self) -> str:
        """Return the placement as one line of JSON, `as_written`."""
        return json.dumps(self.as_written())

    def as_dict(self) -> dict[str, Any]:
        """Return the placement as plain values, with defaults of hyperparameters written out."""
        data = self.model_dump(by_alias=True, exclude_none=True)
        data["insertions"] = {
            name: [_dump(each) for each in own] if isinstance(own, tuple) else _dump(own)
            for name, own in self.insertions.items()
        }
        return {key: value for key, value in data.items() if value not in ({}, [])}

    def as_written(self) -> dict[str, Any]:
        """Return the placement as plain values for a file, without `init` unless explicitly set.

        Initialization is chosen when weights are created: a default written to the file would count
        as explicit, and `bamctl train --pretrained` would not start at identity.
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


def _dump(site: Settings) -> dict[str, Any]:
    return site.model_dump(exclude_unset=True, exclude_none=True)


_KEYS = frozenset(field.alias or name for name, field in Placement.model_fields.items())


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a placement file, for editors that complete and check YAML."""
    schema = Placement.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
