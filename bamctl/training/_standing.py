"""The progress of a run, from those contents of its folder that are consistent.

A result rests on the configuration, the evaluations and the weights of a run. Its states and its
final weights name all three, so that what was cut off, exchanged or changed since is not gone on
with: another configuration is refused, and everything else is trained again, and said.
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
from bamctl.training._state import DamagedStateError
from bamctl.training.config import Recipe, difference
from bamctl.training.json_lines import Line
from bamctl.training.run_folder import RUN_KEY, RunFolder
from bamctl.weights import checkpoints


@dataclass(frozen=True)
class Origin:
    """Everything that determines a run.

    `made_from` is everything of the configuration that matters to it, in plain values; `placement`
    is what its final weights say of themselves.
    """

    arm: str
    seed: int
    made_from: dict[str, Any]
    recipe: Recipe
    placement: Placement | None

    def receipt(self, evaluations: Sequence[Line]) -> dict[str, Any]:
        """Return the receipt that a state or final weights carry of the run so far."""
        return {
            "arm": self.arm,
            "seed": self.seed,
            "made_from": self.made_from,
            "evaluations": {"count": len(evaluations), "crc32": _crc32(evaluations)},
        }


@dataclass(frozen=True)
class Standing:
    """The point at which a run is resumed.

    `state` is the file to go on from, and None where it begins anew or is finished. `evaluations`
    counts those that stand. `notes` say what does not fit, and `is_verified` is False of what an
    older version wrote, which says too little of itself.
    """

    is_finished: bool
    state: Path | None = None
    evaluations: int = 0
    notes: tuple[str, ...] = ()
    is_verified: bool = True


class _MisfitError(Exception):
    """A file of a run that does not belong to the rest; the text says why."""


def stand(folder: RunFolder, origin: Origin) -> Standing:
    """Look at what a folder holds of a run.

    Raises:
        InputError: it was made from another configuration.
    """
    notes: list[str] = []
    weights = folder.weights(origin.arm, origin.seed)
    if weights.exists():
        try:
            return Standing(True, is_verified=_check_weights(weights, folder, origin))
        except _MisfitError as error:
            notes.append(f"{weights} {error}; {origin.arm}, seed {origin.seed}, is trained again")
    for path in folder.states(origin.arm, origin.seed):
        try:
            count, is_verified = _check_state(path, folder, origin)
            return Standing(False, path, count, tuple(notes), is_verified)
        except _MisfitError as error:
            notes.append(f"{path} {error}; going on from the one before")
    void = len(folder.evaluations(origin.arm, origin.seed))
    # Without a state there is one at most, where a run was ended in between.
    if void > 1 and not notes:
        notes.append(
            f"{folder.metrics.path} has {void} evaluations of {origin.arm}, seed {origin.seed}, "
            "and there are no weights that they belong to; it is trained again"
        )
    return Standing(False, notes=tuple(notes))


def _check_weights(path: Path, folder: RunFolder, origin: Origin) -> bool:
    """Return whether final weights carry what verifies them, if nothing contradicts them.

    Raises:
        _MisfitError: something does.
    """
    lines, timing = _lines(folder, origin), folder.timed(origin.arm, origin.seed)
    try:
        found = checkpoints.read(path)
        sealed = found.metadata.get(RUN_KEY)
        values = None if sealed is None else states.unseal(sealed, found.state)
    except (InputError, DamagedStateError, ValueError, KeyError, TypeError) as error:
        raise _MisfitError(_without_path(path, error)) from error
    if values is not None:
        _check_receipt(values, lines, origin)
    if not _is_whole(lines, origin.recipe):
        raise _MisfitError("has not all its evaluations in metrics.jsonl")
    if timing is None or (values is not None and values.get("timing") != timing):
        raise _MisfitError("has other times than timing.jsonl")
    if not found.state:
        raise _MisfitError("is empty")
    if values is None and found.placement != origin.placement:
        raise _MisfitError("holds another placement")
    return values is not None


def _check_state(path: Path, folder: RunFolder, origin: Origin) -> tuple[int, bool]:
    """Return how many evaluations were made up to a state, and whether it says all of itself.

    Raises:
        _MisfitError: the state does not fit.
    """
    lines = _lines(folder, origin)
    try:
        values = states.read(path).values
    except DamagedStateError as error:
        raise _MisfitError(_without_path(path, error)) from error
    if path.stem != f"step-{values.get('step')!s:0>9}":
        raise _MisfitError("is that of another step")
    count = len(_steps(origin.recipe, values["step"]))
    if "run" in values:
        _check_receipt(values["run"], lines[:count], origin)
    if not _is_in_order(lines[:count], origin.recipe) or len(lines) < count:
        raise _MisfitError("has not all its evaluations in metrics.jsonl")
    return count, "run" in values


def _check_receipt(values: Mapping[str, Any], lines: Sequence[Line], origin: Origin) -> None:
    arm, seed = values.get("arm"), values.get("seed")
    if (arm, seed) != (origin.arm, origin.seed):
        raise _MisfitError(f"is that of {arm}, seed {seed}")
    if other := difference(origin.made_from, values.get("made_from", {})):
        raise InputError(
            f"{origin.arm}, seed {origin.seed}, was trained with another config.yaml: {other}; put "
            "that back, or begin a new comparison with `bamctl train --config`"
        )
    if values != {**values, **origin.receipt(lines)}:
        raise _MisfitError("has other evaluations than metrics.jsonl")


def _lines(folder: RunFolder, origin: Origin) -> list[Line]:
    return folder.evaluations(origin.arm, origin.seed)


def _steps(recipe: Recipe, last: int) -> list[int]:
    """The steps after which a run is evaluated, up to one of them."""
    every = [*range(recipe.eval_every, recipe.steps, recipe.eval_every), recipe.steps]
    return [step for step in every if step <= last]


def _is_in_order(lines: Sequence[Line], recipe: Recipe) -> bool:
    return [line["step"] for line in lines] == _steps(recipe, recipe.steps)[: len(lines)]


def _is_whole(lines: Sequence[Line], recipe: Recipe) -> bool:
    """Return whether a run was evaluated to its end, which comes early where it diverged."""
    if lines and lines[-1].get("diverged"):
        return _is_in_order(lines[:-1], recipe)
    return len(lines) == len(_steps(recipe, recipe.steps)) and _is_in_order(lines, recipe)


def _crc32(lines: Sequence[Line]) -> int:
    return zlib.crc32(json.dumps(lines, sort_keys=True).encode())


def _without_path(path: Path, error: Exception) -> str:
    text = str(error).removeprefix(str(path)).lstrip(": ")
    return text if text.startswith(("is ", "cannot")) else f"is damaged: {text}"
