"""The progress of a run, by the consistent contents of its folder.

A result depends on the configuration, the evaluations and the weights of a run. Its states and
final weights identify all three, so that a truncated, replaced or modified file is not resumed
from: another configuration raises, and anything else is trained again with a note.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bamctl.errors import InputError
from bamctl.placement.placement import Placement
from bamctl.training import _state as states
from bamctl.training._state import DamagedStateError, State
from bamctl.training.config import difference
from bamctl.training.json_lines import Line
from bamctl.training.run_folder import RUN_KEY, RunFolder
from bamctl.weights import checkpoints


@dataclass(frozen=True)
class Origin:
    """Everything that determines a run.

    `made_from` is the relevant part of the configuration, in plain values; `evaluated_at` are the
    steps after which it is evaluated, or None if only the run itself knows; `placement` is that in
    the metadata of its final weights; `measure` is the key of the evaluations.
    """

    arm: str
    seed: int
    made_from: dict[str, Any]
    evaluated_at: tuple[int, ...] | None
    placement: Placement | None
    measure: str = "accuracy"

    def receipt(self, evaluations: Sequence[Line]) -> dict[str, Any]:
        """Return the receipt of the run so far, which states and final weights include."""
        return {
            "arm": self.arm,
            "seed": self.seed,
            "made_from": self.made_from,
            "evaluations": {"count": len(evaluations), "crc32": _crc32(evaluations)},
        }


@dataclass(frozen=True)
class Standing:
    """The point at which a run is resumed.

    `state` is the file to resume from, or None if the run starts from scratch or is finished.
    `evaluations` is the number of valid ones. `notes` report inconsistencies, and `is_verified` is
    False for files of an older version, without a receipt.
    """

    is_finished: bool
    state: Path | None = None
    evaluations: int = 0
    notes: tuple[str, ...] = ()
    is_verified: bool = True


class MisfitError(Exception):
    """A file that is inconsistent with the rest of its run; the message says why."""


def stand(folder: RunFolder, origin: Origin) -> Standing:
    """Find the progress of a run in its folder.

    Raises:
        InputError: the run was made from another configuration.
    """
    notes: list[str] = []
    weights = folder.weights(origin.arm, origin.seed)
    if weights.exists():
        try:
            return Standing(True, is_verified=_check_weights(weights, folder, origin))
        except MisfitError as error:
            notes.append(f"{weights} {error}; retraining {origin.arm}, seed {origin.seed}")
    for path in folder.states(origin.arm, origin.seed):
        try:
            count, is_verified = _check_state(path, folder, origin)
            return Standing(False, path, count, tuple(notes), is_verified)
        except MisfitError as error:
            notes.append(f"{path} {error}; falling back to the previous checkpoint")
    void = len(folder.evaluations(origin.arm, origin.seed))
    # Without a state there is at most one, if the run was interrupted before saving the state.
    if void > 1 and not notes:
        notes.append(
            f"{folder.metrics.path} has {void} evaluations of {origin.arm}, seed {origin.seed}, "
            "but no matching weights; retraining it"
        )
    return Standing(False, notes=tuple(notes))


def trunk_state(path: Path, origin: Origin) -> State:
    """Read the state of a trunk.

    Raises:
        MisfitError: the file is damaged, or is that of another seed.
        InputError: the trunk was trained from another configuration.
    """
    try:
        state = states.read(path)
    except DamagedStateError as error:
        raise MisfitError(_without_path(path, error)) from error
    _check_receipt(state.values.get("run", {}), [], origin)
    return state


def _check_weights(path: Path, folder: RunFolder, origin: Origin) -> bool:
    """Check final weights against the rest of the run; return whether they have a receipt.

    Raises:
        MisfitError: they are inconsistent with it.
        InputError: they were made from another configuration.
    """
    lines, timing = _lines(folder, origin), folder.timed(origin.arm, origin.seed)
    try:
        found = checkpoints.read(path)
        sealed = found.metadata.get(RUN_KEY)
        values = None if sealed is None else states.unseal(sealed, found.state)
    except (InputError, DamagedStateError, ValueError, KeyError, TypeError) as error:
        raise MisfitError(_without_path(path, error)) from error
    if values is not None:
        _check_receipt(values, lines, origin)
    if not _is_whole(lines, origin):
        raise MisfitError("needs evaluations that metrics.jsonl does not have")
    if timing is None or (values is not None and values.get("timing") != timing):
        raise MisfitError("does not match timing.jsonl")
    if not found.state:
        raise MisfitError("is empty")
    if values is None and found.placement != origin.placement:
        raise MisfitError("has a different placement")
    return values is not None


def _check_state(path: Path, folder: RunFolder, origin: Origin) -> tuple[int, bool]:
    """Check a state; return the number of evaluations up to it, and whether it has a receipt.

    Raises:
        MisfitError: the state is inconsistent with the rest of the run.
        InputError: it was made from another configuration.
    """
    lines = _lines(folder, origin)
    try:
        values = states.read(path).values
    except DamagedStateError as error:
        raise MisfitError(_without_path(path, error)) from error
    if path.stem != f"step-{values.get('step')!s:0>9}":
        raise MisfitError("belongs to a different step")
    count = sum(step <= values["step"] for step in origin.evaluated_at or ())
    if "run" in values:
        _check_receipt(values["run"], lines[:count], origin)
    if not _is_in_order(lines[:count], origin) or len(lines) < count:
        raise MisfitError("needs evaluations that metrics.jsonl does not have")
    return count, "run" in values


def _check_receipt(values: Mapping[str, Any], lines: Sequence[Line], origin: Origin) -> None:
    arm, seed = values.get("arm"), values.get("seed")
    if (arm, seed) != (origin.arm, origin.seed):
        raise MisfitError(f"belongs to {arm}, seed {seed}")
    if other := difference(origin.made_from, values.get("made_from", {})):
        raise InputError(
            f"{origin.arm}, seed {origin.seed}, was trained with a different config.yaml: {other}; "
            "restore it, or start a new comparison with `bamctl train --config`"
        )
    if values != {**values, **origin.receipt(lines)}:
        raise MisfitError("does not match metrics.jsonl")


def _lines(folder: RunFolder, origin: Origin) -> list[Line]:
    return folder.evaluations(origin.arm, origin.seed)


def _is_in_order(lines: Sequence[Line], origin: Origin) -> bool:
    if any(origin.measure not in line for line in lines):
        return False
    steps = origin.evaluated_at
    return steps is None or tuple(line["step"] for line in lines) == steps[: len(lines)]


def _is_whole(lines: Sequence[Line], origin: Origin) -> bool:
    """Return whether a run was evaluated to its end, which is early if it diverged."""
    if lines and lines[-1].get("diverged"):
        return _is_in_order(lines[:-1], origin)
    steps = origin.evaluated_at
    is_complete = bool(lines) if steps is None else len(lines) == len(steps)
    return is_complete and _is_in_order(lines, origin)


def _crc32(lines: Sequence[Line]) -> int:
    return zlib.crc32(json.dumps(lines, sort_keys=True).encode())


def _without_path(path: Path, error: Exception) -> str:
    text = str(error).removeprefix(str(path)).lstrip(": ")
    return text if text.startswith(("is ", "cannot")) else f"is damaged: {text}"
