"""Starts of the arms of a comparison, and the question that each of them answers."""

from typing import Literal

from bamctl.errors import InputError

Start = Literal["scratch", "trunk", "weights"]

QUESTIONS: dict[Start, str] = {
    "scratch": "does it help from the beginning",
    "trunk": "does it help when it is added to a network that is trained on",
    "weights": "does it help when it is added to a pretrained network that is trained on",
}


def check_start(
    start: Start | None, *, trunk_steps: int | None, weights: object, pretrained: str = "--weights"
) -> Start:
    """Return the start that options mean.

    Without one, it is a trunk if its steps are passed, else the weights, else from scratch.

    Args:
        start: that of the options, or None.
        trunk_steps: the steps of the trunk, or None.
        weights: the weights, or None.
        pretrained: the options that name weights, for an error.

    Raises:
        InputError: the options are incompatible.
    """
    usual: Start = "trunk" if trunk_steps else "weights" if weights else "scratch"
    start = start or usual
    if start not in QUESTIONS:
        raise InputError(f"start is {start!r}; use one of {', '.join(QUESTIONS)}")
    if start == "weights" and not weights:
        raise InputError(f"--start weights needs weights; add {pretrained}")
    if start == "scratch" and weights:
        raise InputError("--start scratch leaves out the weights that are named; give one of them")
    if start != "trunk" and trunk_steps:
        raise InputError(f"--trunk-steps is for --start trunk, not {start}; leave it out")
    return start


def trunk_length(start: Start, given: int | None, steps: int) -> int:
    """Return the steps of a trunk, 0 without one; half of all steps unless they are given.

    Raises:
        InputError: no step is left for the trunk or for the arms.
    """
    if start != "trunk":
        return 0
    chosen = steps // 2 if given is None else given
    if steps < 2:
        raise InputError("a trunk and its arms take 2 steps or more; give more --steps")
    if not 0 < chosen < steps:
        raise InputError(
            f"a trunk of {chosen} steps leaves none of {steps} to the arms; "
            f"try --trunk-steps {steps // 2}"
        )
    return chosen
