"""Budgets: limits of the cost of attention, as part of a placement."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    model_serializer,
    model_validator,
)

from bamctl.errors import InputError
from bamctl.placement.metrics import METRICS, Amount, Metric

Level = Literal["error", "warn"]

_NUMBER = r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,18}(?:\.\d{1,9})?)"
_RELATIVE = re.compile(rf"\+ ?{_NUMBER} ?%", re.ASCII)
_ABSOLUTE = re.compile(rf"{_NUMBER} ?(?P<unit>[A-Za-zµ]+(?: [A-Za-z]+)?)", re.ASCII)


@dataclass(frozen=True)
class Limit:
    """An upper limit of a metric: an amount, or a fraction above the unmodified network's."""

    text: str
    amount: Fraction
    is_relative: bool

    def above(self, base: Amount | Fraction) -> Fraction:
        """Return the exact limit for an unmodified network with `base`, in the metric's unit."""
        return Fraction(base) * (1 + self.amount) if self.is_relative else self.amount


def parse_limit(metric: str, value: Any) -> Limit:
    """Read a limit of a metric, such as `26 M`, `4.2 GMACs`, `110 MB` or `+2 %`.

    Raises:
        InputError: the limit is invalid; the message names the valid units.

    >>> parse_limit("params", "+2 %").above(1_000_000)
    Fraction(1020000, 1)
    >>> parse_limit("macs", "4.2 GMACs").above(0)
    Fraction(4200000000, 1)
    """
    text = " ".join(value.split()) if isinstance(value, str) else str(value)
    if found := _RELATIVE.fullmatch(text):
        return Limit(text, _fraction(found["number"]) / 100, is_relative=True)
    found, units = _ABSOLUTE.fullmatch(text), METRICS[metric].units
    if found and found["unit"] in units:
        return Limit(text, _fraction(found["number"]) * Fraction(units[found["unit"]]), False)
    raise InputError(f"{_problem(text, found)}; {_cure(METRICS[metric], text)}")


def _fraction(number: str) -> Fraction:
    return Fraction(number.replace(",", ""))


def _problem(text: str, found: re.Match[str] | None) -> str:
    if found:
        return f"the unit of {text!r} does not fit"
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return f"{text!r} has no unit"
    return f"{text[:40]!r} is not a limit"


def _cure(metric: Metric, text: str) -> str:
    if text.endswith("%"):
        return "write +2 % for two percent above the unmodified network"
    units = ", ".join(metric.units)
    return f"write it like {metric.example!r} (units: {units}) or '+2 %'"


class Allowance(BaseModel):
    """The limit of one metric, and whether breaking it fails the check or only warns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max: str = Field(description="an amount with its unit, or +PERCENT % of the unmodified network")
    level: Level = Field(default="error", description="warn: report an excess, and pass")

    @model_serializer
    def _as_written(self) -> str | dict[str, str | int]:
        return self.max if self.level == "error" else {"max": self.max, "level": self.level}


class DeviceAllowance(Allowance):
    """The limit of a figure that depends on a device, such as the time for one batch."""

    device: str = Field(default="cpu", description="cpu, cuda, cuda:1 or mps")
    batch_size: Annotated[int, Field(ge=1, le=100_000, strict=True)] = Field(
        default=1, description="images in a batch"
    )

    @model_serializer
    def _as_written(self) -> str | dict[str, str | int]:
        return {
            "max": self.max,
            "level": self.level,
            "device": self.device,
            "batch_size": self.batch_size,
        }


def _allowance(metric: str, value: Any) -> Any:
    """Validate an allowance, which may be a bare limit, and return it as a mapping."""
    written = dict(value) if isinstance(value, Mapping) else {"max": value}
    if "max" in written:
        # An InputError is a ValueError, which pydantic reports as a validation error.
        written["max"] = parse_limit(metric, written["max"]).text
    return written


def _field(metric: Metric) -> Any:
    """Return the type of a metric's field in a budget, and its default with the description."""
    kind = DeviceAllowance if metric.needs_device else Allowance
    read = BeforeValidator(partial(_allowance, metric.name), json_schema_input_type=str | kind)
    description = f"{metric.meaning}, such as {metric.example!r} or '+2 %'"
    return Annotated[kind, read] | None, Field(default=None, description=description)


_Limits: Any = create_model("_Limits", **{name: _field(each) for name, each in METRICS.items()})


def _difference(value: Any) -> Any:
    """Validate the limits on differences to another revision, by their metrics."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError("should be limits by their metrics, such as `params: +0.5 %`")
    found = {}
    for metric, limit in value.items():
        if metric not in METRICS or METRICS[metric].needs_device:
            known = ", ".join(name for name, each in METRICS.items() if not each.needs_device)
            raise ValueError(f"{metric!r} is none of {known}")
        written = dict(limit) if isinstance(limit, Mapping) else {"max": limit}
        text = str(written.get("max")).strip()
        if text in ("0", "+0"):
            # Zero needs no unit.
            written["max"] = "+0 %"
        elif not text.endswith("%"):
            written["max"] = text.removeprefix("+").strip()
        found[metric] = _allowance(metric, written)
    return found


class Budget(_Limits):  # type: ignore[misc]  # a key for each of METRICS
    """What a network may cost with its attention modules; what is left out is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    against: Annotated[dict[str, Allowance], BeforeValidator(_difference)] | None = Field(
        default=None,
        description="what may be added to the figures of the revision that `check --against` names",
    )

    @model_validator(mode="before")
    @classmethod
    def _limits_something(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            if not data:
                raise ValueError("has no limit; add one, such as `params: +2 %`, or drop it")
            for metric, value in data.items():
                if value is None and metric in METRICS:
                    raise ValueError(f"{metric} has no limit; add one, or drop it")
        return data

    def allowances(self) -> dict[str, Allowance]:
        """Return the limits, by the names of their metrics, in the order of `METRICS`."""
        found: dict[str, Allowance | None] = {name: getattr(self, name) for name in METRICS}
        return {name: allowance for name, allowance in found.items() if allowance}
