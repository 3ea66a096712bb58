"""Strategies: rules that name cut points of any network, such as the paper's bottlenecks.

A new strategy is one entry in `STRATEGIES`; placements, analyses, searches and the options of the
commands take what they know from there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bamctl.trunk.cut_points import CutPoint, Trunk

# Place at these where nothing else is asked for, as the paper does.
DEFAULT_STRATEGY = "bottleneck"


@dataclass(frozen=True)
class Strategy:
    """A rule that names cut points.

    Args:
        points: select the points of a trunk; the second argument is a placement's `stages`: how
            many bottlenecks, counted from the deepest, or `all`.
        help: which points these are, in a few words, for help texts.
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
    """The names of all strategies, for a sentence.

    >>> named()
    'bottleneck, block'
    """
    return ", ".join(STRATEGIES)
