"""Strategies: rules that name cut points of any network, such as the paper's bottlenecks.

A new strategy is one entry in `STRATEGIES`, from which placements, analyses, searches and the
options of the commands derive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

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
    """

    points: "Callable[[Trunk, int | Literal['all']], tuple[CutPoint, ...]]"
    help: str


STRATEGIES: dict[str, Strategy] = {
    "bottleneck": Strategy(
        lambda trunk, stages: trunk.bottlenecks(stages),
        "the last block of each stage that a stage of lower resolution follows",
    ),
    "block": Strategy(lambda trunk, stages: trunk.blocks, "the output of every block"),
}


def named() -> str:
    """Return the names of all strategies, separated by commas.

    >>> named()
    'bottleneck, block'
    """
    return ", ".join(STRATEGIES)
