"""Published throughput: a CSV table of images per second by device and network."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bamctl.errors import InputError, blame, did_you_mean
from bamctl.files import schemas
from bamctl.files.atomic import check_can_read
from bamctl.timing._kernels import Precision
from bamctl.timing.hardware import MemoryFormat

_MAX_BYTES = 10_000_000


class Observation(BaseModel):
    """One row: a network on a device, at one image size and batch size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(min_length=1)]
    input_size: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)]
    images_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    memory_format: MemoryFormat
    precision: Precision

    @property
    def batch_seconds(self) -> float:
        """The latency of one batch, in seconds."""
        return self.batch_size / self.images_per_second


def read(path: Path, device: str) -> list[Observation]:
    """Read the rows of one device from a CSV file.

    Raises:
        InputError: the file cannot be read, a row is invalid, or no row is of the device.
    """
    rows = _rows(path)
    found = [row for row in rows if row.device == device]
    if not found:
        known = sorted({row.device for row in rows})
        near = did_you_mean(device, known) or f"; it has {', '.join(known) or 'no rows'}"
        raise InputError(f"{path} has no times of {device!r}{near}")
    _check_alike(path, found)
    return found


def read_all(path: Path) -> dict[str, list[Observation]]:
    """Read the rows of every device from a CSV file.

    Raises:
        InputError: the file cannot be read, or a row is invalid.
    """
    found: dict[str, list[Observation]] = {}
    for row in _rows(path):
        found.setdefault(row.device, []).append(row)
    for rows in found.values():
        _check_alike(path, rows)
    return found


def _rows(path: Path) -> list[Observation]:
    check_can_read(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: larger than {_MAX_BYTES // 10**6} MB; is it the right file?")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise blame(error, f"{path}: cannot be read") from error
    reader = csv.DictReader(lines)
    try:
        return [_row(path, reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num + 1}: {error}") from error


def _row(path: Path, line: int, row: Mapping[Any, Any]) -> Observation:
    try:
        given = {name: value for name, value in row.items() if value is not None}
        if None in given:
            raise InputError("more cells than there are columns")
        return schemas.from_options(Observation, given)
    except InputError as error:
        raise InputError(str(error), path=path, line=line) from error


def _check_alike(path: Path, rows: list[Observation]) -> None:
    for name in ("precision", "memory_format"):
        kinds = sorted({getattr(row, name) for row in rows})
        if len(kinds) > 1:
            raise InputError(
                f"{path}: {name} is {' and '.join(kinds)} in the rows of {rows[0].device}; a "
                "profile covers only one, so use a separate device name for each"
            )
