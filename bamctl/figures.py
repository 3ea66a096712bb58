"""The figures of a network that a budget can limit, without and with its attention modules."""

from collections.abc import Callable
from dataclasses import dataclass

from bamctl import checkpoints, units
from bamctl.budget import LatencyAllowance, Metric
from bamctl.cost import PlacementCost, place, placement_cost
from bamctl.errors import BamctlError, described, let_through
from bamctl.memory import on_meta
from bamctl.placement import Placement
from bamctl.sites import Site
from bamctl.surgery import insert_sites
from bamctl.traced_network import TracedNetwork


@dataclass(frozen=True)
class Figure:
    """What a network costs by one metric, without and with its attention modules."""

    base: int
    value: int


@dataclass(frozen=True)
class Priced:
    """A placement on its network, with its sites and what they cost."""

    subject: TracedNetwork
    placement: Placement
    placed: PlacementCost


def price(subject: TracedNetwork, placement: Placement) -> Priced:
    """Find the sites of a placement in a network, and what they cost.

    Raises:
        InputError: the placement does not fit the network.
    """
    return Priced(subject, placement, place(placement, subject))


def price_sites(subject: TracedNetwork, placement: Placement, sites: tuple[Site, ...]) -> Priced:
    """What other sites than those of the placement cost."""
    return Priced(subject, placement, placement_cost(sites, subject))


def figure(metric: Metric, on: Priced) -> Figure:
    """A figure that follows from the network alone.

    Raises:
        BamctlError: the network, which may be somebody's own, does not let it be taken.
    """
    try:
        return MEASURES[metric](on)
    except Exception as error:
        let_through(error)
        raise BamctlError(f"{metric} could not be taken: {described(error)}") from error


def _params(on: Priced) -> Figure:
    base = on.subject.trace.params
    return Figure(base, base + on.placed.total.params)


def _macs(on: Priced) -> Figure:
    base = on.subject.trace.macs[""]
    return Figure(base, base + on.placed.total.macs)


def _memory(on: Priced) -> Figure:
    base = on.subject.memory_bytes
    return Figure(base, base + on.placed.total.memory_bytes)


def _weights_file(on: Priced) -> Figure:
    base = checkpoints.file_size(on.subject.network.state_dict())
    if not on.placed.sites:
        return Figure(base, base)
    # Names and shapes make the size, so the copy that is modified has no weights.
    modified = on_meta(on.subject.network)
    insert_sites(modified, on.placed.sites)
    return Figure(base, checkpoints.file_size(modified.state_dict()))


# How each metric is found that follows from the network alone; `latency` also
# depends on a device.
MEASURES: dict[Metric, Callable[[Priced], Figure]] = {
    "params": _params,
    "macs": _macs,
    "memory": _memory,
    "weights_file": _weights_file,
}


def latency(on: Priced, allowance: LatencyAllowance) -> tuple[Figure, str]:
    """The nanoseconds that a batch takes, measured or estimated, and how sure that is, in words.

    Raises:
        InputError: the device is none to measure on, and no profile is of that name.
        BamctlError: the device is not there, or the batch does not fit in its memory.
    """
    # SciPy, which is under this, takes half a second to import.
    from bamctl.latency.profiles import is_measurable

    found = _measured if is_measurable(allowance.device) else _estimated
    return found(on, allowance)


def _measured(on: Priced, allowance: LatencyAllowance) -> tuple[Figure, str]:
    from bamctl.latency.placed import measure_placed
    from bamctl.latency.setup import Setup

    # Of weights that are all zero, a device might make short work.
    found = measure_placed(
        on.placement.build(),
        on.placed.sites,
        on.placement.inputs,
        setup=Setup(device=allowance.device),
        batch_size=allowance.batch_size,
    )
    low, high = found.ratio_ci95
    note = (
        f"measured on {allowance.device} ({found.device_name}), batch {found.batch_size}, "
        f"{found.threads} threads: {found.ratio:.3f} times the unmodified network's, 95 % interval "
        f"{low:.3f} to {high:.3f}"
    )
    return _in_nanoseconds(found.base.median_ms, found.ratio), note


def _estimated(on: Priced, allowance: LatencyAllowance) -> tuple[Figure, str]:
    from bamctl.latency.placed import Estimator
    from bamctl.latency.profiles import find

    profile = find(allowance.device)
    estimator = Estimator(on.subject.network, on.subject.trace, profile)
    found = estimator.estimate(on.placed.sites, allowance.batch_size)
    note = (
        f"estimated for {profile.name} ({profile.precision}), batch {found.batch_size}: "
        f"{found.ratio:.3f} times the unmodified network's; times of networks of unseen families "
        f"are off by {units.share(profile.held_out.mean_error)} on average"
    )
    return _in_nanoseconds(found.base_ms, found.ratio), note


def _in_nanoseconds(base_ms: float, ratio: float) -> Figure:
    return Figure(round(1e6 * base_ms), round(1e6 * base_ms * ratio))
