"""Jobs of a search: a candidate to train, and what is found."""

from dataclasses import dataclass

from bamctl.engines.engine import Shared
from bamctl.placement.sites import Site


@dataclass(frozen=True)
class Job:
    """A network to train: the sites, the number of steps, and the seeds.

    `trunks` has for each seed the file of the trunk from which it parts; empty without trunks.
    """

    sites: tuple[Site, ...]
    steps: int
    seeds: tuple[int, ...]
    trunks: tuple[Shared, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The score of the held-out samples after the last step, one for each seed.

    A score is the task's measure, negated if lower is better.
    """

    score: tuple[float, ...]
    diverged: int
    seconds: float
