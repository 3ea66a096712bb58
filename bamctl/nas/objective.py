"""The objective: the score of a short training run, paired with others by seed."""

import json
import os
from dataclasses import dataclass, field
from functools import lru_cache, partial
from time import perf_counter

import torch
from torch import nn

from bamctl.attention.kinds import factories
from bamctl.data.sets import Data
from bamctl.nas.jobs import Job, Outcome
from bamctl.networks import trust
from bamctl.placement.cost import Cost
from bamctl.placement.sites import Site
from bamctl.surgery.insert import insert_sites
from bamctl.training import trunks
from bamctl.training.arms import Arm, Networks
from bamctl.training.config import TrainingConfig
from bamctl.training.devices import accelerator_for
from bamctl.training.loop import Run
from bamctl.training.own_loop import train_own
from bamctl.training.recipe import Recipe
from bamctl.training.trunks import TrunkJob
from bamctl.training.watching import Evaluation, NullObserver


@dataclass(frozen=True)
class Objective:
    """Training of candidates as in `bamctl train`; it can be sent to other processes and machines.

    Networks of one seed see the same images in the same order, and start from the same weights in
    the layers that they share. `threads` are those of one job; results depend on their number, so
    it is independent of the number of workers. `folder` is the driver's, to import a factory from.
    """

    training: TrainingConfig
    data: Data | None
    threads: int = 1
    folder: str = field(default_factory=os.getcwd)

    def __call__(self, job: Job | TrunkJob) -> Outcome | bytes:
        """Train one candidate with each seed, or a trunk.

        Returns:
            The outcome of the candidate, or the content of the trunk's file.

        Raises:
            BamctlError: it cannot be trained; the message says why.
        """
        # The job comes from a driver that has built, and so trusted, the network.
        trust.trust(self.training.model, *self.training.code())
        trust.find_in(self.folder)
        torch.set_num_threads(self.threads)
        if isinstance(job, Job):
            trust.trust(*factories(site.attention for site in job.sites))
        if isinstance(job, TrunkJob):
            assert self.data is not None
            return trunks.trained(self.training, self.data, job.seed)
        return self._outcome(job)

    def _outcome(self, job: Job) -> Outcome:
        started = perf_counter()
        last = [self._trained(job, index) for index in range(len(job.seeds))]
        return Outcome(
            score=tuple(self.training.measure.goodness(each.value) for each in last),
            diverged=sum(each.diverged for each in last),
            seconds=perf_counter() - started,
        )

    def _trained(self, job: Job, index: int) -> Evaluation:
        seed = job.seeds[index]
        trunk = trunks.read(job.trunks[index]) if job.trunks else None
        changed = {
            "recipe": _shortened(self.training.recipe, job.steps),
            "trunk_steps": self.training.trunk_steps if job.trunks else 0,
        }
        config = self.training.model_copy(update=changed)
        networks = _networks(json.dumps(self.training.as_written()))
        arm = Arm("candidate", "placement", partial(_insert, job.sites), Cost())
        network = networks.of(arm, seed, trunk)
        accelerator = accelerator_for(config)
        last = _Last()
        if self.data is None:
            train_own(network, config, seed, accelerator.device, last)
        else:
            pretrained = networks.pretrained(network, trunk)
            Run(network, self.data, config, seed, accelerator, pretrained, trunk).train(last)
        accelerator.free_memory()
        return last.evaluation


@lru_cache(maxsize=1)
def _networks(training: str) -> Networks:
    """Return the builder of a search's networks, which reads pretrained weights once a process."""
    return Networks(TrainingConfig.model_validate_json(training))


def _shortened(full: Recipe, steps: int) -> Recipe:
    """Return the recipe for fewer steps, with a single evaluation at the end."""
    warmup = full.warmup_steps * steps // full.steps
    changed = {"steps": steps, "eval_every": steps, "warmup_steps": warmup}
    return full.model_copy(update=changed)


def _insert(sites: tuple[Site, ...], network: nn.Module) -> None:
    if sites:
        insert_sites(network, sites)


class _Last(NullObserver):
    """Observer that keeps the last evaluation of a run."""

    evaluation: Evaluation

    def evaluated(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
