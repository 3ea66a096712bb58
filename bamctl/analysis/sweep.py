"""The analysis of many networks, one after the other or in several processes."""

import gc
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

import torch

from bamctl.analysis.analyze import analyze_network
from bamctl.errors import BamctlError, described
from bamctl.networks import torchvision_models
from bamctl.networks.inputs import Inputs
from bamctl.networks.memory import give_back_at_once
from bamctl.placement.cost import Cost
from bamctl.placement.placement import Placement
from bamctl.processes.pool import Pool
from bamctl.trunk.traced import TracedNetwork


@dataclass(frozen=True)
class Swept:
    """The figures of one network, and what each strategy adds to it.

    `sites` and `added` are by strategy; a strategy that cannot be is not in `added`.
    """

    model: str
    family: str
    given: Inputs
    params: int
    macs: int
    elementwise_ops: int
    sites: dict[str, int]
    added: dict[str, Cost]


@dataclass(frozen=True)
class NotSwept:
    """A network that could not be analysed, and why, in one line."""

    model: str
    family: str
    reason: str


def sweep(names: Sequence[str], wanted: Placement, jobs: int = 1) -> Iterator[Swept | NotSwept]:
    """Analyse torchvision's builders in turn; one that fails does not stop the others.

    Args:
        names: the builders.
        wanted: the attention module, and which network exactly; its model is left out of account.
        jobs: processes at a time. The order of the results is that of the names.
    """
    one = partial(_analyzed, wanted=wanted)
    if jobs == 1:
        # A trace writes down for each operator by which calls it was reached, and a thread of its
        # own has the fewest.
        with ThreadPoolExecutor(1) as thread:
            for name in names:
                # All that is there now stays; looking through it again and again would take long.
                gc.freeze()
                yield thread.submit(one, name).result()
                # Modules refer to each other, and a command collects no garbage while it works.
                gc.collect()
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with Pool(min(jobs, len(names)), _prepare, threads) as pool:
        pending = [(name, pool.submit(one, name)) for name in names]
        for name, found in pending:
            try:
                yield found.result()
            except BrokenProcessPool:
                # Another network may have ended the process; so each is tried by itself.
                yield _alone(name, wanted, threads)


def _prepare(threads: int) -> None:
    torch.set_num_threads(threads)
    give_back_at_once()


def _alone(name: str, wanted: Placement, threads: int) -> Swept | NotSwept:
    with Pool(1, _prepare, threads) as pool:
        try:
            return pool.submit(_analyzed, name, wanted).result()
        except BrokenProcessPool:
            family = torchvision_models.families()[name]
            return NotSwept(name, family, "its process ended, perhaps for want of memory")


def _analyzed(name: str, wanted: Placement) -> Swept | NotSwept:
    family = torchvision_models.families()[name]
    own = wanted.model_copy(update={"model": name})
    try:
        found = analyze_network(name, TracedNetwork.load(own), own)
    except BamctlError as error:
        return NotSwept(name, family, " ".join(str(error).split()))
    except Exception as error:  # a bug with one network, which is no reason to lose the others
        return NotSwept(name, family, described(error))
    return Swept(
        model=name,
        family=family,
        given=found.trace.given,
        params=found.trace.params,
        macs=found.trace.macs[""],
        elementwise_ops=found.trace.elementwise_ops[""],
        sites={name: len(placed.sites) for name, placed in found.strategies.items()},
        added={n: placed.total for n, placed in found.strategies.items() if not placed.unavailable},
    )
