"""Confirmation on fresh seeds, since the best of many candidates may be so by chance."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bamctl.nas._space import Space
from bamctl.nas.engines import Engine, Job, outcomes
from bamctl.training.arms import BASELINE
from bamctl.training.evidence import Evidence, compare
from bamctl.training.json_lines import JsonLines, Line
from bamctl.training.lines import ConfirmationLine

_CHECKSUM = "crc32"


def confirm(
    space: Space,
    members: Mapping[str, tuple[int, ...]],
    *,
    steps: int,
    seeds: Sequence[int],
    num_held_out: int,
    engine: Engine,
    file: Path,
    search: Mapping[str, Any],
    note: Callable[[str], None],
) -> dict[str, Evidence]:
    """Train candidates and the baseline with seeds that chose nothing, and judge each.

    The verdicts hold simultaneously; see `evidence.compare`.

    Args:
        space: of the candidates.
        members: the candidates by name, without the baseline.
        steps: the length of each run.
        seeds: one run per candidate and seed.
        num_held_out: the number of images that accuracies are measured on.
        engine: runs the jobs.
        file: the records of runs; runs that are recorded there are not repeated, if they belong
            to this search and are unchanged.
        search: everything else that an accuracy depends on, in plain values.
        note: receives messages about the file, of one line.

    Raises:
        BamctlError: a candidate cannot be trained, or the file cannot be written.
    """
    arms = {BASELINE: (0,) * len(space.places), **members}
    lines = JsonLines(file, ("codes", "seed"), ConfirmationLine)
    origin = {**search, "steps": steps, "places": [place.name for place in space.places]}
    _drop_void(lines, origin, note)
    known = {(tuple(line["codes"]), line["seed"]): line["accuracy"] for line in lines.lines}
    jobs = {
        (codes, seed): Job(space.sites(codes), steps, (seed,))
        for seed in seeds
        for codes in arms.values()
        if (codes, seed) not in known
    }
    for (codes, seed), outcome in outcomes(engine, jobs):
        (known[codes, seed],) = outcome.accuracy
        line = {"codes": list(codes), "seed": seed, "accuracy": known[codes, seed]}
        lines.append({**line, _CHECKSUM: _checksum(line, origin)})

    def accuracies(name: str) -> list[float]:
        return [known[arms[name], seed] for seed in seeds]

    pairs = {name: (accuracies(BASELINE), accuracies(name)) for name in members}
    return compare(pairs, resolution=1 / num_held_out)


def _drop_void(lines: JsonLines, origin: Mapping[str, Any], note: Callable[[str], None]) -> None:
    """Remove lines of another search and changed lines, and report it."""

    def is_void(line: Line) -> bool:
        return _CHECKSUM in line and line[_CHECKSUM] != _checksum(line, origin)

    if void := sum(map(is_void, lines.lines)):
        note(f"{lines.path} has {void} runs of another search, or modified since; rerunning them")
    lines.drop(is_void)
    if unverified := sum(_CHECKSUM not in line for line in lines.lines):
        note(
            f"{lines.path} has {unverified} runs saved by an older version, without checksums; "
            "whether they belong to this search cannot be verified"
        )


def _checksum(line: Line, origin: Mapping[str, Any]) -> int:
    own = {name: value for name, value in line.items() if name != _CHECKSUM}
    return zlib.crc32(json.dumps({"line": own, "search": origin}, sort_keys=True).encode())
