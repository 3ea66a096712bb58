"""Published results of attention modules in networks, gains and losses alike."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bamctl.files import yaml_files

_FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class PublishedResult:
    """What a source reports for a network without and with an attention module.

    `without` and `with_module` are in percent; `metric` says of what. `where` is the strategy, or
    None if the source does not name one of bamctl's. `table` is that of the source.
    """

    model: str
    module: str
    where: str | None
    data: str
    metric: str
    without: float
    with_module: float
    source: str
    url: str
    table: str | None = None

    @property
    def gain(self) -> float:
        """Percentage points by which the module is better; negative if it is worse."""
        difference = self.with_module - self.without
        return -difference if self.metric.endswith("error") else difference


def published(model: str, module: str | None = None) -> tuple[PublishedResult, ...]:
    """Return the published results for a network, those of one module or of all.

    >>> [result.gain for result in published("resnet101", "se")]
    [0.268...]
    """
    found = (each for each in _results() if each.model == model)
    return tuple(each for each in found if module in (None, each.module))


@cache
def _results() -> tuple[PublishedResult, ...]:
    data: Any = yaml_files.load(_FILE).data
    return tuple(_result(row, data["sources"][row["source"]]) for row in data["results"])


def _result(row: dict[str, Any], source: dict[str, str]) -> PublishedResult:
    return PublishedResult(
        model=row["model"],
        module=row["module"],
        where=row.get("where"),
        data=row["data"],
        metric=row["metric"],
        without=row["without"],
        with_module=row["with"],
        source=source["title"],
        url=source["url"],
        table=None if row.get("table") is None else str(row["table"]),
    )
