"""Budgets: what attention may cost, as people write it beside a placement."""

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
    model_serializer,
    model_validator,
)

from bamctl.errors import InputError

Metric = Literal["params", "macs", "memory", "weights_file", "latency"]
Level = Literal["error", "warn"]

_COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

# How much one of each unit is, in the metric's own: parameters, multiply-adds, bytes, nanoseconds.
UNITS: dict[Metric, dict[str, int]] = {
    "params": {
        **{prefix: scale for prefix, scale in _COUNTS.items() if prefix},
        **{f"{prefix} params".strip(): scale for prefix, scale in _COUNTS.items()},
    },
    "macs": {f"{prefix}MACs": scale for prefix, scale in (_COUNTS | {"T": 10**12}).items()},
    "memory": _BYTES,
    "weights_file": _BYTES,
    "latency": {"us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9},
}
_EXAMPLES: dict[Metric, str] = {
    "params": "26 M",
    "macs": "4.2 GMACs",
    "memory": "110 MB",
    "weights_file": "110 MB",
    "latency": "3 ms",
}
_NUMBER = r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,18}(?:\.\d{1,9})?)"
_RELATIVE = re.compile(rf"\+ ?{_NUMBER} ?%", re.ASCII)
_ABSOLUTE = re.compile(rf"{_NUMBER} ?(?P<unit>[A-Za-zµ]+(?: [A-Za-z]+)?)", re.ASCII)


@dataclass(frozen=True)
class Limit:
    """The most that a figure may be: an amount, or a fraction above the unmodified network's."""

    text: str
    amount: Fraction
    is_relative: bool

    def above(self, base: int) -> Fraction:
        """The limit for a network whose own figure is `base`, exactly, in the metric's unit."""
        return base * (1 + self.amount) if self.is_relative else self.amount


def parse_limit(metric: Metric, value: Any) -> Limit:
    """Read a limit such as `26 M`, `4.2 GMACs`, `110 MB` or `+2 %`.

    Raises:
        InputError: it is none; says which units fit.

    >>> parse_limit("params", "+2 %").above(1_000_000)
    Fraction(1020000, 1)
    >>> parse_limit("macs", "4.2 GMACs").above(0)
    Fraction(4200000000, 1)
    """
    text = " ".join(value.split()) if isinstance(value, str) else str(value)
    if found := _RELATIVE.fullmatch(text):
        return Limit(text, _fraction(found["number"]) / 100, is_relative=True)
    found = _ABSOLUTE.fullmatch(text)
    if found and found["unit"] in UNITS[metric]:
        return Limit(text, _fraction(found["number"]) * UNITS[metric][found["unit"]], False)
    raise InputError(f"{_problem(text, found)}; {_cure(metric, text)}")


def _fraction(number: str) -> Fraction:
    return Fraction(number.replace(",", ""))


def _problem(text: str, found: re.Match[str] | None) -> str:
    if found:
        return f"the unit of {text!r} does not fit"
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return f"{text!r} has no unit"
    return f"{text[:40]!r} is no limit"


def _cure(metric: Metric, text: str) -> str:
    if text.endswith("%"):
        return "write +2 % for two percent above the unmodified network"
    units = ", ".join(UNITS[metric])
    return f"write it like {_EXAMPLES[metric]!r} (units: {units}) or '+2 %'"


class Allowance(BaseModel):
    """The limit of one metric, and whether breaking it fails the check or only warns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max: str = Field(description="an amount with its unit, or +PERCENT % of the unmodified network")
    level: Level = Field(default="error", description="warn: say it, and pass")

    @model_serializer
    def _as_written(self) -> str | dict[str, str | int]:
        return self.max if self.level == "error" else {"max": self.max, "level": self.level}


class LatencyAllowance(Allowance):
    """The limit of the time for one batch, and what it is measured on."""

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


def _allowance(metric: Metric, value: Any) -> Any:
    """A mapping from what may be written as a mere limit, once its limit is known to be one."""
    written = dict(value) if isinstance(value, Mapping) else {"max": value}
    if "max" in written:
        # Pydantic takes a ValueError, which every InputError is, for a message of its own.
        written["max"] = parse_limit(metric, written["max"]).text
    return written


_Written = str | Allowance


def _field(metric: Metric, meaning: str) -> Any:
    return Field(default=None, description=f"{meaning}, such as {_EXAMPLES[metric]!r} or '+2 %'")


_Params = BeforeValidator(partial(_allowance, "params"), json_schema_input_type=_Written)
_Macs = BeforeValidator(partial(_allowance, "macs"), json_schema_input_type=_Written)
_Memory = BeforeValidator(partial(_allowance, "memory"), json_schema_input_type=_Written)
_WeightsFile = BeforeValidator(partial(_allowance, "weights_file"), json_schema_input_type=_Written)
_Latency = BeforeValidator(
    partial(_allowance, "latency"), json_schema_input_type=str | LatencyAllowance
)


class Budget(BaseModel):
    """What a network may cost with its attention modules; what is left out is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    params: Annotated[Allowance, _Params] | None = _field("params", "parameters")
    macs: Annotated[Allowance, _Macs] | None = _field("macs", "multiply-adds for one image")
    memory: Annotated[Allowance, _Memory] | None = _field(
        "memory", "bytes that training keeps for the backward pass, for one image"
    )
    weights_file: Annotated[Allowance, _WeightsFile] | None = _field(
        "weights_file", "bytes of the weights as a safetensors file, without the placement in it"
    )
    latency: Annotated[LatencyAllowance, _Latency] | None = _field(
        "latency", "time of the forward pass for one batch, measured"
    )

    @model_validator(mode="before")
    @classmethod
    def _limits_something(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            if not data:
                raise ValueError("has no limit; add one, such as `params: +2 %`, or drop it")
            for metric, value in data.items():
                if value is None and metric in UNITS:
                    raise ValueError(f"{metric} has no limit; add one, or drop it")
        return data

    def allowances(self) -> dict[Metric, Allowance]:
        """The metrics that are limited, in a fixed order."""
        found: dict[Metric, Allowance | None] = {metric: getattr(self, metric) for metric in UNITS}
        return {metric: allowance for metric, allowance in found.items() if allowance}
