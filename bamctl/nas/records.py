"""Runs of single candidates and seeds, recorded in a file so that none is repeated."""

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bamctl.engines.engine import Engine, outcomes
from bamctl.nas._space import Space
from bamctl.nas.jobs import Job
from bamctl.training.json_lines import JsonLines, Line
from bamctl.training.lines import ConfirmationLine
from bamctl.training.shared_trunks import SharedTrunks

Codes = tuple[int, ...]
Run = tuple[Codes, int]

_CHECKSUM = "crc32"


class Records:
    """The runs of a file, each of a candidate with one seed.

    Args:
        file: of JSON lines; runs in it are used if they belong to this search and are unchanged.
        space: of the candidates.
        trunks: those from which the runs part.
        steps: the length of each run.
        search: everything else that a score depends on, in plain values.
        note: receives messages about the file, of one line.
    """

    def __init__(
        self,
        file: Path,
        space: Space,
        trunks: SharedTrunks,
        *,
        steps: int,
        search: Mapping[str, Any],
        note: Callable[[str], None],
    ) -> None:
        self._space, self._trunks, self._steps = space, trunks, steps
        self._lines = JsonLines(file, ("codes", "seed"), ConfirmationLine)
        self._origin = {**search, "steps": steps, "places": [place.name for place in space.places]}
        self._drop_void(note)
        self._known: dict[Run, float] = {
            (tuple(line["codes"]), line["seed"]): line["accuracy"] for line in self._lines.lines
        }

    def scores(self, runs: Iterable[Run], engine: Engine) -> dict[Run, float]:
        """Return the score of each run; those that are not recorded are trained.

        Raises:
            BamctlError: a candidate cannot be trained, or the file cannot be written.
        """
        runs = list(runs)
        left = [run for run in runs if run not in self._known]
        # All at once, so that they are trained side by side.
        self._trunks.of(dict.fromkeys(seed for _, seed in left))
        jobs = {
            (codes, seed): Job(
                self._space.sites(codes), self._steps, (seed,), self._trunks.of((seed,))
            )
            for codes, seed in left
        }
        for (codes, seed), outcome in outcomes(engine, jobs):
            (score,) = outcome.score
            line = {"codes": list(codes), "seed": seed, "accuracy": score}
            self._lines.append({**line, _CHECKSUM: self._checksum(line)})
            self._known[codes, seed] = score
        return {run: self._known[run] for run in runs}

    def _drop_void(self, note: Callable[[str], None]) -> None:
        """Remove lines of another search and changed lines, and report it."""

        def is_void(line: Line) -> bool:
            return _CHECKSUM in line and line[_CHECKSUM] != self._checksum(line)

        path = self._lines.path
        if void := sum(map(is_void, self._lines.lines)):
            note(f"{path} has {void} runs of another search, or modified since; rerunning them")
        self._lines.drop(is_void)
        if unverified := sum(_CHECKSUM not in line for line in self._lines.lines):
            note(
                f"{path} has {unverified} runs saved by an older version, without checksums; "
                "whether they belong to this search cannot be verified"
            )

    def _checksum(self, line: Line) -> int:
        own = {name: value for name, value in line.items() if name != _CHECKSUM}
        return zlib.crc32(
            json.dumps({"line": own, "search": self._origin}, sort_keys=True).encode()
        )
