"""Goals of a search: metrics to minimize or to keep within a budget, and their syntax."""

from dataclasses import dataclass

from bamctl.errors import InputError, did_you_mean
from bamctl.placement.budget import Limit, parse_limit
from bamctl.placement.metrics import METRICS, Amount, Metric, searchable


@dataclass(frozen=True)
class Goal:
    """A metric to minimize or to keep within a budget, and the device that it is estimated for.

    `name` is a key of `METRICS`; `device` is None for a metric that needs none.
    """

    name: str
    device: str | None = None

    @property
    def metric(self) -> Metric:
        """The metric."""
        return METRICS[self.name]

    @property
    def _suffix(self) -> str:
        return f"@{self.device}" if self.device else ""

    @property
    def title(self) -> str:
        """The heading of a column of its figures."""
        return f"{self.metric.title}{self._suffix}"

    @property
    def json_key(self) -> str:
        """The key of its figure in JSON."""
        return f"{self.metric.json_key}{self._suffix}"

    def __str__(self) -> str:
        return f"{self.name}{self._suffix}"


def parse_goal(text: str) -> Goal:
    """Read a goal such as `params` or `latency@rtx3090`.

    Raises:
        InputError: there is no such figure, or it is not known before training.

    >>> parse_goal("latency@rtx3090")
    Goal(name='latency', device='rtx3090')
    """
    name, at, device = text.strip().partition("@")
    metric = searchable().get(name)
    if metric and bool(device) == metric.needs_device == bool(at):
        return Goal(name, device or None)
    if metric and metric.needs_device:
        raise InputError(f"{name} needs a device; write it like {name}@rtx3090")
    known = f"the figures are {', '.join(each.goal for each in searchable().values())}"
    if name in METRICS:
        raise InputError(f"{text!r} is not supported in a search; {known}")
    raise InputError(f"unknown metric {text!r}{did_you_mean(name, searchable()) or f'; {known}'}")


def parse_budget(text: str) -> tuple[Goal, Limit]:
    """Read a budget such as `params=+2%`, `macs=2 GMACs` or `latency@rtx3090=+10%`.

    Raises:
        InputError: it is invalid.
    """
    name, equals, limit = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} is not a budget; write it like params=+2%")
    goal = parse_goal(name)
    return goal, parse_limit(goal.name, limit.strip())


def figures_data(figures: dict[Goal, Amount]) -> dict[str, Amount]:
    """Convert figures to JSON data: units in the keys, times in milliseconds."""
    return {goal.json_key: goal.metric.to_json(value) for goal, value in figures.items()}
