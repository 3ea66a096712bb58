"""Analysis of many networks, sequentially or in several processes.

PyTorch is imported by the processes that trace: the one that starts them and shows their results
would only delay them by importing it, too.
"""

import gc
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial

from bamctl.attention.cost import Cost
from bamctl.attention.kinds import kind_of
from bamctl.errors import BamctlError, described
from bamctl.networks import torchvision_models
from bamctl.networks.inputs import Inputs
from bamctl.placement.placement import Placement
from bamctl.processes.allocator import give_back_at_once
from bamctl.processes.pool import Pool

# A process takes about as long to start as this many networks to analyse.
_WORTH_A_PROCESS = 8


@dataclass(frozen=True)
class Swept:
    """The figures of one network, and the cost of each strategy on it.

    `sites` and `added` are by strategy; an impossible strategy is not in `added`, and its reason is
    in `unavailable`.
    """

    model: str
    family: str
    given: Inputs
    params: int
    macs: int
    elementwise_ops: int
    sites: dict[str, int]
    added: dict[str, Cost]
    unavailable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NotSwept:
    """A network that could not be analysed, with the reason in one line."""

    model: str
    family: str
    reason: str


def sweep(
    names: Sequence[str], wanted: Placement, jobs: int | None = None
) -> Iterator[Swept | NotSwept]:
    """Analyse torchvision's builders; a failure of one does not stop the others.

    Args:
        names: the builders.
        wanted: the attention module, and the options of the network; its model is ignored.
        jobs: number of processes; one for each core that this process may use, if left out and
            there are networks enough. The results are in the order of the names.

    Raises:
        InputError: the attention module does not exist.
    """
    kind_of(wanted.attention).check()
    one = partial(_swept, wanted=wanted)
    jobs = jobs or max(1, min(_cores(), len(names) // _WORTH_A_PROCESS))
    if jobs == 1:
        # The tracer records the Python stack of every operator; a fresh thread has the
        # shallowest one.
        with ThreadPoolExecutor(1) as thread:
            for name in names:
                yield thread.submit(one, name).result()
        return
    threads = max(1, _cores() // jobs)
    with Pool(min(jobs, len(names)), _prepare, threads) as pool:
        pending = [(name, pool.submit(one, name)) for name in names]
        for name, found in pending:
            try:
                yield found.result()
            except BrokenProcessPool:
                # Another network may have ended the process, so retry each alone.
                yield _alone(name, wanted, threads)


def _cores() -> int:
    # Containers and batch systems restrict processes to some cores; macOS has no such call.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _prepare(threads: int) -> None:
    import torch

    # It would look through the graph of a trace again and again; the pool collects after each.
    gc.disable()
    torch.set_num_threads(threads)
    give_back_at_once()


def _alone(name: str, wanted: Placement, threads: int) -> Swept | NotSwept:
    with Pool(1, _prepare, threads) as pool:
        try:
            return pool.submit(_swept, name, wanted).result()
        except BrokenProcessPool:
            family = torchvision_models.families()[name]
            return NotSwept(name, family, "its process was killed, possibly for lack of memory")


def _swept(name: str, wanted: Placement) -> Swept | NotSwept:
    from bamctl.analysis.analyze import analyze_network
    from bamctl.trunk.traced import TracedNetwork

    family = torchvision_models.families()[name]
    own = wanted.model_copy(update={"model": name})
    try:
        found = analyze_network(name, TracedNetwork.load(own), own)
    except BamctlError as error:
        return NotSwept(name, family, " ".join(str(error).split()))
    except Exception as error:  # a bug with one network must not lose the results of others
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
        unavailable={
            n: placed.unavailable for n, placed in found.strategies.items() if placed.unavailable
        },
    )
