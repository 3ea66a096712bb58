"""Strategies: rules that name cut points of any network, such as the paper's bottlenecks.

A new strategy is one entry in `STRATEGIES`, from which placements, analyses, searches and the
options of the commands derive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bamctl.text.lists import few

if TYPE_CHECKING:
    from bamctl.trunk.cut_points import CutPoint, Trunk

# The default of placements, as in the paper.
DEFAULT_STRATEGY = "bottleneck"


@dataclass(frozen=True)
class Strategy:
    """A rule that names cut points.

    Args:
        points: function that selects points of a trunk; its second argument is `stages` of the
            placement: the number of bottlenecks, counted from the deepest, or `all`.
        help: a short description of these points, for help texts.
        left_out: function that returns what the strategy leaves out in a trunk, and why, each in a
            sentence without its full stop.
        is_of_paper: whether the paper of BAM places it there. A search trains these always, and an
            analysis shows others only where they select something.
    """

    points: "Callable[[Trunk, int | Literal['all']], tuple[CutPoint, ...]]"
    help: str
    left_out: "Callable[[Trunk], list[str]]" = lambda trunk: []
    is_of_paper: bool = True


_MOST_NAMED = 5


def _without_branch(trunk: "Trunk") -> list[str]:
    if not trunk.blocks:
        return ["The network has no block, and so no residual branch"]
    by_reason: dict[str, list[str]] = {}
    for block, reason in trunk.without_branch.items():
        by_reason.setdefault(reason, []).append(block)
    return [
        f"No residual branch is found in {few(blocks, _MOST_NAMED)}: {reason}"
        for reason, blocks in by_reason.items()
    ]


def _without_level(trunk: "Trunk") -> list[str]:
    if not trunk.levels:
        return ["The network has no pyramid: no heads read maps of two or more resolutions"]
    return [
        f"The level of {each.height}x{each.width} is left out: no module returns it"
        for each in trunk.hidden_levels
    ]


STRATEGIES: dict[str, Strategy] = {
    "bottleneck": Strategy(
        lambda trunk, stages: trunk.bottlenecks(stages),
        "the last block of each stage that a stage of lower resolution follows",
    ),
    "block": Strategy(lambda trunk, stages: trunk.blocks, "the output of every block"),
    "branch": Strategy(
        lambda trunk, stages: trunk.branches,
        "the end of every block's residual branch, before the sum, as for SE and CBAM",
        left_out=_without_branch,
        is_of_paper=False,
    ),
    "level": Strategy(
        lambda trunk, stages: trunk.levels,
        "the maps that the heads of a pyramid read, such as P3 to P5 of a detector",
        left_out=_without_level,
        is_of_paper=False,
    ),
}


def of_paper() -> dict[str, Strategy]:
    """Return the strategies of the paper by their names."""
    return {name: strategy for name, strategy in STRATEGIES.items() if strategy.is_of_paper}


def named() -> str:
    """Return the names of all strategies, separated by commas.

    >>> named()
    'bottleneck, block, branch, level'
    """
    return ", ".join(STRATEGIES)
