"""A search without training: accuracy is looked up, as a fixed function of what is inserted."""

import os
import signal
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

from bamctl.data.sets import Data
from bamctl.engines.engine import Shared
from bamctl.nas._space import Space
from bamctl.nas.choices import Choices
from bamctl.nas.config import SearchConfig
from bamctl.nas.costs import Costs
from bamctl.nas.goals import parse_goal
from bamctl.nas.jobs import Job, Outcome
from bamctl.nas.setup import SearchSetup
from bamctl.nas.storage import open_storage
from bamctl.nas.study import Study
from bamctl.networks.inputs import read
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.budget import parse_limit
from bamctl.placement.sites import Site
from bamctl.training.config import TrainingConfig
from bamctl.training.recipe import Recipe
from bamctl.trunk.traced import TracedNetwork

MODEL, INPUT = "tests.networks:Unseen", "3x32x32"

# Six blocks, each without a module or with one of four: 5^6 = 15,625 networks.
SMALL = Choices(
    per_site=True, reduction=[4, 1], dilation=[1], branches=["both", "channel"], combine=["sum"]
)
_SITE = {
    "alpha.0": 0.2,
    "alpha": 0.9,
    "beta.0": 0.3,
    "beta.1": 1.0,
    "gamma": 0.5,
    "delta": 0.7,
}
_MODULE = {(4, "both"): 0.8, (4, "channel"): 0.3, (1, "both"): 1.0, (1, "channel"): 0.55}


@dataclass(frozen=True)
class Table:
    """Sites with gains of their own that add up less and less, pairs that help and hurt, and luck.

    `seconds` is how long it takes. Where `deadly` is a file that is not there yet, the first job
    makes it, and ends its process by force.
    """

    seconds: float = 0.0
    deadly: Path | None = None

    def __call__(self, job: Job) -> Outcome:
        if self.deadly is not None and not self.deadly.exists():
            self.deadly.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return Outcome(tuple(score(job, seed) for seed in job.seeds), 0, self.seconds)


def score(job: Job, seed: int) -> float:
    luck = zlib.crc32(repr((_inserted(job.sites), job.steps, seed)).encode()) / 2**32
    return true_accuracy(job.sites) + 0.005 * luck


def true_accuracy(sites: Sequence[Site]) -> float:
    """The accuracy without luck."""
    there = dict(_inserted(sites))
    gain = sum(_SITE[name] * _MODULE[module] for name, module in there.items())
    gain += 0.35 * ({"alpha", "beta.1"} <= there.keys())
    gain -= 0.4 * ({"alpha.0", "beta.0"} <= there.keys())
    return float(0.7 + 0.25 * (1 - np.exp(-gain / 1.5)))


def _inserted(sites: Sequence[Site]) -> list[tuple[str, tuple[int, str]]]:
    return sorted(
        (site.point.module, (site.attention.reduction, site.attention.branches)) for site in sites
    )


@cache
def subject() -> TracedNetwork:
    return TracedNetwork.load(NetworkSpec(model=MODEL, input=read(INPUT)))


@dataclass
class Searched:
    """A small search, with its space and costs."""

    choices: Choices = SMALL
    budget: dict[str, str] = field(default_factory=lambda: {"params": "+15 %"})
    changes: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        training = TrainingConfig(
            model=MODEL,
            input=read(INPUT),
            num_classes=5,
            recipe=Recipe(steps=90, lr=0.1, eval_every=90),
            seeds=[0],
        )
        given = {"trials": 12, "space": self.choices, "budget": self.budget, **self.changes}
        self.config = SearchConfig(training=training, **given)
        self.space = Space(self.choices, subject().trunk)
        limits = {parse_goal(name): parse_limit(name, text) for name, text in self.budget.items()}
        goals = [parse_goal(name) for name in self.config.objectives]
        self.costs = Costs(subject(), self.space, goals, limits)

    def setup(self) -> SearchSetup:
        """Of data there is nothing but the number of held-out images."""
        data = cast("Data", SimpleNamespace(held_out=range(1000), classes=range(10)))
        return SearchSetup(self.config, data, subject(), self.space, self.costs)

    def study(self, url: str, *, alone: bool = True) -> Study:
        return Study(self.config, self.costs, open_storage(url), alone=alone)


class Scratch:
    """No trunks: every run starts from scratch."""

    def of(self, seeds: Iterable[int]) -> tuple[Shared, ...]:
        return ()


class Quiet:
    """Follows a search, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def ended(self, number: int, score: float | None) -> None:
        self.count += 1
