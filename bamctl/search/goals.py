"""The figures that a search makes small or keeps within a budget, as people write them."""

from dataclasses import dataclass
from typing import get_args

from bamctl import units
from bamctl.budget import Limit, Metric, parse_limit
from bamctl.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Figure:
    """A figure of a network: a metric, and of latency the device that it is estimated for."""

    metric: Metric
    device: str | None = None

    def __str__(self) -> str:
        return f"{self.metric}@{self.device}" if self.device else self.metric

    def text(self, value: int) -> str:
        """A value of it as people read it."""
        return _TEXTS[self.metric](value)


_TEXTS = {
    "params": lambda value: f"{units.count(value)} parameters",
    "macs": units.macs,
    "memory": units.size,
    "latency": units.duration,
}
FIGURES = ("params", "macs", "memory", "latency@DEVICE")


def parse_figure(text: str) -> Figure:
    """Read a figure such as `params` or `latency@rtx3090`.

    Raises:
        InputError: there is no such figure, or none that is known before training.

    >>> parse_figure("latency@rtx3090")
    Figure(metric='latency', device='rtx3090')
    """
    metric, at, device = text.strip().partition("@")
    if metric in _TEXTS and bool(device) == (metric == "latency") == bool(at):
        return Figure(metric, device or None)  # type: ignore[arg-type]
    if metric == "latency":
        raise InputError("latency is that of a device; write it like latency@rtx3090")
    if metric in get_args(Metric):
        raise InputError(f"{text!r} cannot be searched by; the figures are {', '.join(FIGURES)}")
    near = did_you_mean(metric, _TEXTS) or f"; the figures are {', '.join(FIGURES)}"
    raise InputError(f"there is no figure {text!r}{near}")


def parse_budget(text: str) -> tuple[Figure, Limit]:
    """Read a budget such as `params=+2%`, `macs=2 GMACs` or `latency@rtx3090=+10%`.

    Raises:
        InputError: it is none.
    """
    name, equals, limit = text.partition("=")
    if not equals:
        raise InputError(f"{text!r} is no budget; write it like params=+2%")
    figure = parse_figure(name)
    return figure, parse_limit(figure.metric, limit.strip())
