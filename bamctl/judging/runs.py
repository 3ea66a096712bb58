"""Runs of a comparison that others trained: read from tables and from TensorBoard's folders."""

import csv
import glob
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from bamctl.errors import InputError, did_you_mean, shown
from bamctl.files.atomic import check_can_read

_KEYS = ("arm", "seed", "step")
_FIELD = re.compile(r"\{(arm|seed)\}")


@dataclass(frozen=True)
class Run:
    """The result of one training: of an arm, with a seed if it is known."""

    arm: str
    seed: str | None
    value: float


def read(sources: Iterable[str], metric: str | None) -> tuple[list[Run], str]:
    """Read runs, and return them with the name of what was measured.

    Args:
        sources: tables (`.csv`, `.jsonl`, `.json`), or patterns of TensorBoard's folders with
            `{arm}` and, if runs are paired, `{seed}` in them, such as `runs/{arm}/seed-{seed}`.
        metric: the column or the tag; may be left out if a table has only one more column.

    Raises:
        InputError: a source cannot be read, or is no such table; names file and line.
    """
    runs: list[Run] = []
    for source in sources:
        if _FIELD.search(source):
            metric = _named(metric, source)
            runs += _of_folders(source, metric)
        else:
            found, metric = _of_table(Path(source), metric)
            runs += found
    return runs, metric or "value"


def _named(metric: str | None, source: str) -> str:
    if metric is None:
        raise InputError(f"{source}: name the scalar with --metric, such as --metric val/accuracy")
    return metric


def _of_table(path: Path, metric: str | None) -> tuple[list[Run], str]:
    """Read the rows of a table; of several steps of a run, the last one counts."""
    check_can_read(path)
    # A run without a seed is told from others by its line.
    last: dict[tuple[str, str | int], tuple[float, int, float]] = {}
    for line, row in _rows(path):
        metric = metric or _only_metric(path, line, row)
        arm = row.get("arm")
        if arm in (None, ""):
            raise InputError(
                "no column 'arm', which names the network of a run", path=path, line=line
            )
        seed = line if row.get("seed") in (None, "") else str(row["seed"])
        step = _number(row["step"], "step", path, line) if row.get("step") not in (None, "") else 0
        if metric not in row:
            near = did_you_mean(metric, [str(name) for name in row])
            raise InputError(f"no column {metric!r}{near}", path=path, line=line)
        key, value = (str(arm), seed), _number(row[metric], metric, path, line)
        if key in last and step == last[key][0]:
            raise InputError(
                f"{arm} with seed {seed} is in line {last[key][1]} already", path=path, line=line
            )
        if key not in last or step > last[key][0]:
            last[key] = (step, line, value)
    if not last or metric is None:
        raise InputError("no run in this file", path=path, line=1)
    runs = [
        Run(arm, seed if isinstance(seed, str) else None, value)
        for (arm, seed), (_, _, value) in last.items()
    ]
    return runs, metric


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a table, each with its line."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", path=path, line=1) from error
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        yield from _json_rows(path, text)
        return
    sample = text.partition("\n")[0]
    delimiter = max(",;\t", key=sample.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    reader.fieldnames = [
        name.strip().lower() if name.strip().lower() in _KEYS else name.strip()
        for name in reader.fieldnames or ()
    ]
    for row in reader:
        yield reader.line_num, {name: _stripped(each) for name, each in row.items() if name}


def _stripped(cell: Any) -> Any:
    return cell.strip() if isinstance(cell, str) else cell


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    lines: Iterable[tuple[int, Any]]
    try:
        if text.lstrip().startswith("["):
            lines = [(1, row) for row in json.loads(text)]
        else:
            lines = (
                (number, json.loads(line))
                for number, line in enumerate(text.splitlines(), 1)
                if line.strip()
            )
        for number, row in lines:
            if not isinstance(row, dict):
                raise InputError("not an object with arm, seed and value", path=path, line=number)
            yield number, row
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError("not JSON Lines", path=path, line=getattr(error, "lineno", 1)) from error


def _only_metric(path: Path, line: int, row: Mapping[str, Any]) -> str:
    others = [str(name) for name in row if name not in _KEYS]
    if "value" in others:
        return "value"
    if len(others) != 1:
        raise InputError(
            f"name the column of the result with --metric: {', '.join(others) or 'none is there'}",
            path=path,
            line=line,
        )
    return others[0]


def _number(value: Any, name: str, path: Path, line: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {shown(value)} is no number", path=path, line=line) from error
    if not isfinite(number):
        raise InputError(
            f"{name}: {value} is not finite; leave a diverged run out", path=path, line=line
        )
    return number


def _of_folders(pattern: str, tag: str) -> list[Run]:
    """Read the last value of a scalar in each folder that matches a pattern."""
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError as error:
        raise InputError(
            f"{pattern}: TensorBoard's folders need it installed: pip install tensorboard"
        ) from error
    if "{arm}" not in pattern:
        raise InputError(f"{pattern}: write {{arm}} where the folders name the arm")
    runs = []
    matching = re.compile(
        _FIELD.sub(
            r"(?P<\1>[^/]+)", re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
        ).replace(r"\*", "[^/]*")
    )
    for folder in sorted(glob.glob(_FIELD.sub("*", pattern))):
        found = matching.fullmatch(folder)
        if found is None:
            continue
        events = event_accumulator.EventAccumulator(folder)
        events.Reload()
        tags = events.Tags()["scalars"]
        if tag not in tags:
            near = did_you_mean(tag, tags) or f"; it has {', '.join(tags) or 'none'}"
            raise InputError(f"{folder}: no scalar {tag!r}{near}")
        named = found.groupdict()
        runs.append(Run(named["arm"], named.get("seed"), events.Scalars(tag)[-1].value))
    if not runs:
        raise InputError(f"no folder matches {pattern}")
    return runs


def by_arm(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Return the values of each arm by seeds; runs without one are numbered from `#1`.

    Raises:
        InputError: an arm has two runs of one seed.
    """
    found: dict[str, dict[str, float]] = {}
    for run in runs:
        own = found.setdefault(run.arm, {})
        seed = f"#{len(own) + 1}" if run.seed is None else run.seed
        if seed in own:
            raise InputError(f"{run.arm} has two runs with seed {seed}")
        own[seed] = run.value
    return found
