"""The figures of placements over time: a file of JSON lines, one for each placement and check."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bamctl.budgets._revision import NotComparableError, head
from bamctl.budgets.baseline import Pair, installed_versions, known_metric
from bamctl.budgets.figures import Figure
from bamctl.errors import BamctlError, InputError
from bamctl.files.atomic import append_bytes, check_can_read
from bamctl.placement.metrics import METRICS, Amount

SCHEMA = 1


class Record(BaseModel):
    """The figures of a placement at one time.

    `commit` is that of the repository, None without one; `is_dirty` is true if files differed from
    it. `versions` are those of the libraries that the figures come from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    time: datetime
    commit: str | None = None
    is_dirty: bool = False
    versions: dict[str, str]
    placement: str
    figures: dict[Annotated[str, AfterValidator(known_metric)], Pair]

    def value(self, metric: str) -> Amount | None:
        """Return a figure of the modified network, in the metric's unit, if it was recorded."""
        pair = self.figures.get(metric)
        return None if pair is None else METRICS[metric].from_steps(pair.value)


def append(path: Path, found: Mapping[str, Mapping[str, Figure]]) -> tuple[Record, ...]:
    """Append the current figures of placements to a file, and return all its records.

    Args:
        path: the file, which is created where there is none.
        found: the figures of each placement, by their metrics.

    Raises:
        InputError: the file has a line that is no record.
        BamctlError: it cannot be written; it is unchanged then.
    """
    before = read(path)
    commit, is_dirty = None, False
    with suppress(NotComparableError):
        commit, is_dirty = head(without=path)
    now, versions = datetime.now(timezone.utc).replace(microsecond=0), installed_versions()
    added = [
        Record(
            time=now,
            commit=commit,
            is_dirty=is_dirty,
            versions=versions,
            placement=name,
            figures={metric: Pair.of(metric, figure) for metric, figure in figures.items()},
        )
        for name, figures in sorted(found.items())
    ]
    text = "".join(f"{json.dumps(each.model_dump(mode='json', by_alias=True))}\n" for each in added)
    try:
        append_bytes(path, text.encode())
    except OSError as error:
        raise BamctlError(f"cannot write {path}: {error.strerror}") from error
    return (*before, *added)


def read(path: Path) -> tuple[Record, ...]:
    """Return the records of a file, none where it does not exist.

    Raises:
        InputError: it cannot be read, or has a line that is no record.
    """
    if not path.exists():
        return ()
    check_can_read(path)
    return tuple(_records(path, path.read_bytes().splitlines()))


def _records(path: Path, lines: Sequence[bytes]) -> list[Record]:
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Record.model_validate_json(line))
        except ValidationError as error:
            raise InputError(
                "this line is no record of `bamctl check --record`; delete it",
                path=path,
                line=number,
            ) from error
    return found
