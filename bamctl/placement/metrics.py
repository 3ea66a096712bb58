"""The metrics that budgets limit, baselines record and searches trade against accuracy.

A metric is one entry of `METRICS`. The keys of a budget and their JSON schema, `--max-NAME`, the
objectives and budgets of a search, baselines, `check --why` and `check --init` derive from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bamctl import units

if TYPE_CHECKING:
    # Imported lazily: it doubles the import time of this module, on which `--help` depends.
    from fractions import Fraction

    from bamctl.budgets.figures import Priced

# An amount of a metric in its own unit: parameters, multiply-adds, bytes, seconds.
Amount = int | float
# An exact number: an integer, or a decimal string such as "1e-3" for `Fraction`.
Exact = int | str


@dataclass(frozen=True)
class Metric:
    """A metric of a network, without and with its attention modules.

    Attributes:
        name: the key of a budget; `--max-NAME` and `search --objective NAME` derive from it.
        title: the heading of a column of amounts.
        meaning: a description for the schema of a budget.
        units: the units of a limit, each as a multiple of the metric's unit.
        example: a limit, for help and errors.
        text: formats an amount for users.
        json_key: the key of an amount in JSON; ends with its unit unless it is a count.
        json_unit: the unit of an amount in JSON.
        base: returns the amount of the unmodified network, for one image.
        added: returns the amount that the attention modules add, for one image.
        per_json_unit: the metric's unit as a multiple of the JSON unit.
        resolution: the step of amounts in searches and baselines, which store integer multiples.
        noun: the noun after an amount if `text` writes no unit.
        needs_device: whether it depends on a device, so that a limit names one; `base` and
            `added` then read `Priced.times`. Baselines have no such metrics.
        follows: another metric that determines this one approximately. Changes are ranked by that
            one; a starting budget and a search leave this one out.
    """

    name: str
    title: str
    meaning: str
    units: Mapping[str, Exact]
    example: str
    text: Callable[[Amount], str]
    json_key: str
    json_unit: str
    base: "Callable[[Priced], Amount]"
    added: "Callable[[Priced], Amount]"
    per_json_unit: int = 1
    resolution: Exact = 1
    noun: str = ""
    needs_device: bool = False
    follows: str | None = None

    @property
    def goal(self) -> str:
        """The name of the metric as an objective of a search."""
        return f"{self.name}@DEVICE" if self.needs_device else self.name

    def amount(self, value: Amount) -> str:
        """Return an amount with its unit, for a sentence."""
        return f"{self.text(value)} {self.noun}".rstrip()

    def cell(self, value: Amount) -> str:
        """Return an amount without the unit that is in the heading of its column."""
        return self.text(value).removesuffix(self.title).rstrip()

    def to_json(self, value: "Amount | Fraction") -> Amount:
        """Return an amount in the JSON unit."""
        return _plain(_exactly(value) * self.per_json_unit)

    def in_steps(self, value: "Amount | Fraction") -> int:
        """Return an amount as a multiple of the resolution, rounded."""
        return round(_exactly(value) / _exactly(self.resolution))

    def from_steps(self, steps: int) -> Amount:
        """Return the amount of a number of multiples of the resolution."""
        return _plain(steps * _exactly(self.resolution))


def _exactly(value: "Amount | Exact | Fraction") -> "Fraction":
    from fractions import Fraction

    return Fraction(value)


def _plain(value: "Fraction") -> Amount:
    return int(value) if value.denominator == 1 else float(value)


_COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

_ALL = (
    Metric(
        name="params",
        title="parameters",
        meaning="parameters",
        units={
            **{prefix: scale for prefix, scale in _COUNTS.items() if prefix},
            **{f"{prefix} params".strip(): scale for prefix, scale in _COUNTS.items()},
        },
        example="26 M",
        text=units.count,
        json_key="params",
        json_unit="parameters",
        base=lambda priced: priced.subject.trace.params,
        added=lambda priced: priced.placed.total.params,
        noun="parameters",
    ),
    Metric(
        name="macs",
        title="MACs",
        meaning="multiply-adds for one image",
        units={f"{prefix}MACs": scale for prefix, scale in (_COUNTS | {"T": 10**12}).items()},
        example="4.2 GMACs",
        text=units.macs,
        json_key="macs",
        json_unit="MACs",
        base=lambda priced: priced.subject.trace.macs[""],
        added=lambda priced: priced.placed.total.macs,
    ),
    Metric(
        name="memory",
        title="memory",
        meaning="bytes that training keeps for the backward pass, for one image",
        units=_BYTES,
        example="110 MB",
        text=units.size,
        json_key="memory_bytes",
        json_unit="bytes",
        base=lambda priced: priced.subject.memory_bytes,
        added=lambda priced: priced.placed.total.memory_bytes,
    ),
    Metric(
        name="weights_file",
        title="weights file",
        meaning="bytes of the weights as a safetensors file, without the placement in it",
        units=_BYTES,
        example="110 MB",
        text=units.size,
        json_key="weights_file_bytes",
        json_unit="bytes",
        base=lambda priced: priced.file_bytes,
        added=lambda priced: priced.modified_file_bytes - priced.file_bytes,
        follows="params",
    ),
    Metric(
        name="latency",
        title="latency",
        meaning="time of the forward pass for one batch, measured",
        units={"us": "1e-6", "µs": "1e-6", "ms": "1e-3", "s": 1},
        example="3 ms",
        text=units.duration,
        json_key="latency_ms",
        json_unit="ms",
        base=lambda priced: priced.timed.base_seconds,
        added=lambda priced: priced.timed.added_seconds,
        per_json_unit=1000,
        resolution="1e-9",
        needs_device=True,
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def static() -> dict[str, Metric]:
    """Return the metrics that do not depend on a device."""
    return {name: metric for name, metric in METRICS.items() if not metric.needs_device}


def independent() -> dict[str, Metric]:
    """Return the static metrics that no other metric determines."""
    return {name: metric for name, metric in static().items() if metric.follows is None}


def searchable() -> dict[str, Metric]:
    """Return the metrics that a search can trade against accuracy: sums over the sites."""
    return {name: metric for name, metric in METRICS.items() if metric.follows is None}
