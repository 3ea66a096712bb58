"""Baselines: figures that a team accepted, in a small JSON file that is committed."""

import json
import os
from collections.abc import Mapping
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bamctl.budgets.figures import Figure
from bamctl.errors import BamctlError, InputError, blame
from bamctl.files.atomic import check_can_read, write_text
from bamctl.placement.budget import parse_limit
from bamctl.placement.metrics import METRICS

SCHEMA = 1
_LIBRARIES = ("torch", "torchvision", "fvcore")


class Pair(BaseModel):
    """A figure without and with the attention modules, in the resolution of its metric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Annotated[int, Field(ge=0)]
    value: Annotated[int, Field(ge=0)]

    @classmethod
    def of(cls, metric: str, figure: Figure) -> "Pair":
        """Convert a figure to the integers of a baseline: counts, bytes, nanoseconds."""
        in_steps = METRICS[metric].in_steps
        return cls(base=in_steps(figure.base), value=in_steps(figure.value))


def known_metric(metric: str) -> str:
    """Return the name of a metric.

    Raises:
        ValueError: there is no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}")
    return metric


class Baseline(BaseModel):
    """The accepted figures of each placement, by its name, and how much they may grow.

    `versions` are those of the libraries that the figures come from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(alias="schema")
    tolerance: str
    versions: dict[str, str]
    figures: dict[str, dict[Annotated[str, AfterValidator(known_metric)], Pair]]

    def limit(self, name: str, metric: str) -> Fraction | None:
        """Return the limit of a figure, or None where the baseline does not have it."""
        accepted = self.figures.get(name, {}).get(metric)
        if accepted is None:
            return None
        value = METRICS[metric].from_steps(accepted.value)
        return parse_limit(metric, self.tolerance).above(value)

    def renamed(self, figures: Mapping[str, Figure]) -> str | None:
        """Return the entry that a placement may have had under another name, if any.

        It is of the same unmodified network, and of no file that is still there; where there are
        several, the one with the most figures in common.
        """
        own = {metric: Pair.of(metric, figure) for metric, figure in figures.items()}
        bases = {metric: pair.base for metric, pair in own.items()}
        found: dict[str, int] = {}
        for name, pairs in self.figures.items():
            # A check without a file is named by its options, as JSON.
            is_gone = not name.startswith("{") and not os.path.exists(name)
            if is_gone and bases and bases == {m: pairs[m].base for m in bases if m in pairs}:
                found[name] = sum(pairs[m] == pair for m, pair in own.items())
        return max(found, key=found.__getitem__, default=None)

    def cause(self, name: str, metric: str, figure: Figure) -> str:
        """Return why a figure changed if the unmodified network did, else an empty string."""
        accepted, now = self.figures[name][metric], Pair.of(metric, figure)
        if accepted.base == now.base:
            return ""
        moved = [
            f"{library} {self.versions.get(library, 'unknown')} -> {installed}"
            for library, installed in installed_versions().items()
            if self.versions.get(library) != installed
        ]
        because = f" with {', '.join(moved)}" if moved else ""
        return f"the unmodified network went from {accepted.base:,} to {now.base:,}{because}"


def installed_versions() -> dict[str, str]:
    """Return the versions of the libraries that figures come from."""
    return {library: version(library) for library in _LIBRARIES}


def load(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        InputError: the file cannot be read, or is damaged.
        BamctlError: it does not exist, or has another schema; the message names the command to run.
    """
    anew = f"create one with `bamctl check --save-baseline {path}`"
    if not os.path.exists(path):
        raise BamctlError(f"no baseline at {path}; {anew}")
    data = _json(path, anew)
    found = data.get("schema") if isinstance(data, dict) else None
    if isinstance(found, int) and found != SCHEMA:
        raise BamctlError(f"{path} has schema {found!r}, not {SCHEMA}; {anew}")
    try:
        baseline = Baseline.model_validate(data)
        check_tolerance(baseline.tolerance)
    except (ValidationError, InputError) as error:
        raise InputError(f"{path} is not a baseline; {anew}") from error
    return baseline


def _json(path: Path, anew: str) -> Any:
    check_can_read(path)
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise blame(error, f"cannot read {path}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON; {anew}") from error


def save(path: Path, figures: Mapping[str, Mapping[str, Figure]], tolerance: str) -> None:
    """Write a baseline, in the same bytes for the same figures.

    Raises:
        InputError: the file cannot be written, or the tolerance is invalid.
    """
    data = {
        "schema": SCHEMA,
        "tolerance": check_tolerance(tolerance),
        "versions": installed_versions(),
        "figures": {
            name: {m: Pair.of(m, figure).model_dump() for m, figure in figures[name].items()}
            for name in sorted(figures)
        },
    }
    write_text(path, json.dumps(data, indent=2) + "\n")


def check_tolerance(text: str) -> str:
    """Check a tolerance such as `+0.5 %`, and return it.

    Raises:
        InputError: it is invalid.
    """
    limit = parse_limit("params", text)
    if not limit.is_relative:
        raise InputError(f"the tolerance {text!r} is an amount; write it like '+0.5 %'")
    return limit.text
