"""Placements: which cut points get which attention module with which hyperparameters."""

import glob
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from bamctl.attention.kinds import (
    Attention,
    Modules,
    attention,
    check_name,
    difference,
    factories,
    of_kind,
    overridden,
)
from bamctl.attention.settings import Settings
from bamctl.errors import InputError, did_you_mean, shown
from bamctl.files import schemas, yaml_files
from bamctl.networks import models, trust
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.budget import Budget
from bamctl.trunk import strategies
from bamctl.trunk.strategies import DEFAULT_STRATEGY, STRATEGIES


def _stages(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"should be 'all' or a whole number of at least 1, not {shown(value)}")


_WITH_KIND = re.compile(r"(?P<where>.*[^\[])=(?P<kind>[^\]].*)", re.DOTALL)


def split(pattern: str) -> tuple[str, str | None]:
    """Split a pattern of `where` into the points and the kind of the module, if it names one.

    Raises:
        ValueError: there is no such kind.

    >>> split("layer*=se"), split("layer3")
    (('layer*', 'se'), ('layer3', None))
    """
    found = _WITH_KIND.fullmatch(pattern)
    if not found:
        return pattern, None
    try:
        return found["where"], check_name(found["kind"], "module")
    except ValidationError as error:
        raise ValueError(f"{pattern}: {schemas.explain(Settings, error)[1]}") from None


def _patterns(value: Any) -> Any:
    listed = value if isinstance(value, list | tuple) else [value]
    if not listed or not all(isinstance(name, str) and name.strip() for name in listed):
        right = f"should be {strategies.named()}, a module name, a glob, or a list of those"
        raise ValueError(f"{right}, not {shown(value)}")
    for name in listed:
        split(name)
    return value if isinstance(value, str) else list(listed)


Stages = Annotated[int | Literal["all"], BeforeValidator(_stages)]
Where = Annotated[str | list[str], BeforeValidator(_patterns)]
Patterns = Annotated[list[str], BeforeValidator(_patterns)]


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

    def check_modules_named_by(self, file: Path) -> None:
        """Refuse factories of attention modules that only a file names, unless `trust` allows them.

        Raises:
            InputError: one is not trusted; the message names the option that trusts it.
        """
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


def trust_named(
    attention: Settings | Mapping[str, Any] | None = None, where: str | Sequence[str] | None = None
) -> None:
    """Allow the factories of attention modules that a caller names, and no file.

    Args:
        attention: settings, or a mapping of them.
        where: patterns.
    """
    own = attention.module if isinstance(attention, Settings) else (attention or {}).get("module")
    patterns = [where] if isinstance(where, str) else where or ()
    trust.trust(*([own] if isinstance(own, str) else []))
    for pattern in patterns:
        # What is invalid is reported where it is validated.
        with suppress(ValueError):
            trust.trust(*filter(None, [split(pattern)[1]]))


def of_network(
    model: str | None, base: Placement | str | Path | None, options: Mapping[str, Any]
) -> Placement:
    """Return a placement with its network.

    Args:
        model: the name of the network. Default: that of `base`.
        base: a placement, the name of a shipped one, or a file.
        options: keys of a placement that update `base`, as in `Placement.with_options`.

    Raises:
        InputError: no network is named, the network does not exist, only a file names a factory
            that is not trusted, or a value is invalid.
    """
    placement = base if isinstance(base, Placement) else find(base) if base else Placement()
    if isinstance(base, str | Path):
        placement.check_modules_named_by(Path(base))
        if model is None:
            models.check_named_by(placement.model, Path(base))
    placement = placement.with_options(options)
    name = model or placement.model
    if name is None:
        raise InputError("no model: name one, or a placement that does")
    return placement.model_copy(update={"model": models.check_name(name)})


_KEYS = frozenset(field.alias or name for name, field in Placement.model_fields.items())


def as_pattern(name: str) -> str:
    """Return a pattern of `where` that matches exactly one module, for any name.

    >>> as_pattern("layer1.0"), as_pattern("bottleneck"), as_pattern("mix[0]")
    ('layer1.0', '[b]ottleneck', 'mix[[]0]')
    """
    if name in STRATEGIES:
        return f"[{name[0]}]{name[1:]}"
    return glob.escape(name).replace("=", "[=]")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a placement file, for editors that complete and check YAML."""
    schema = Placement.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def shipped_folder() -> Path:
    """Return the folder of shipped placements, in an installed package or in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "placements"
    return inside if inside.is_dir() else package.parent / "placements"


def shipped_names() -> tuple[str, ...]:
    """Return the names of shipped placements, such as `bottleneck` and `paper/reduction-8`."""
    folder = shipped_folder()
    files = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return tuple(sorted(file.with_suffix("").as_posix() for file in files))


def find(name_or_path: str | Path) -> Placement:
    """Load a placement by path, or by the name of a shipped one.

    Raises:
        InputError: the file or name does not exist, or the placement is invalid.
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
