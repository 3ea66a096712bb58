"""The figures of a network that a budget can limit, without and with its attention modules."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from bamctl import units
from bamctl.errors import BamctlError, described, let_through
from bamctl.networks.memory import on_meta
from bamctl.placement.budget import DeviceAllowance
from bamctl.placement.cost import PlacementCost, place, placement_cost
from bamctl.placement.metrics import METRICS, Amount, Metric, independent, static
from bamctl.placement.placement import Placement
from bamctl.placement.sites import Site
from bamctl.surgery.insert import insert_sites
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import checkpoints


@dataclass(frozen=True)
class Figure:
    """The cost of a network by one metric, in its unit, without and with attention modules."""

    base: Amount
    value: Amount


@dataclass(frozen=True)
class Timed:
    """The time of a batch on a device, and how sure that is, in words."""

    base_seconds: float
    added_seconds: float
    note: str = ""


@dataclass(frozen=True)
class Priced:
    """A placement on its network, with its sites and their costs; the input of metrics.

    `times` are those on a device, for the metrics that need one.
    """

    subject: TracedNetwork
    placement: Placement
    placed: PlacementCost
    times: Timed | None = None

    @property
    def timed(self) -> Timed:
        """The times on a device; they must have been measured or estimated."""
        assert self.times is not None
        return self.times

    @cached_property
    def modified(self) -> nn.Module:
        """A copy of the network with its attention modules, without weights."""
        modified = on_meta(self.subject.network)
        if self.placed.sites:
            insert_sites(modified, self.placed.sites)
        return modified

    @cached_property
    def file_bytes(self) -> int:
        """The size of the unmodified network's weights as a file, in bytes."""
        return checkpoints.file_size(self.subject.network.state_dict())

    @cached_property
    def modified_file_bytes(self) -> int:
        """The size of the modified network's weights as a file, in bytes, from names and shapes."""
        return checkpoints.file_size(self.modified.state_dict())


def price(subject: TracedNetwork, placement: Placement) -> Priced:
    """Find the sites of a placement in a network, and what they cost.

    Raises:
        InputError: the placement does not fit the network.
    """
    return Priced(subject, placement, place(placement, subject))


def price_sites(subject: TracedNetwork, placement: Placement, sites: tuple[Site, ...]) -> Priced:
    """Price other sites than those of the placement."""
    return Priced(subject, placement, placement_cost(sites, subject))


def spent(priced: Priced) -> dict[str, tuple[Amount, ...]]:
    """Price each site of a placement alone, by every independent metric."""
    placed = zip(priced.placed.sites, priced.placed.costs, strict=True)
    alone = [replace(priced, placed=PlacementCost((site,), (cost,))) for site, cost in placed]
    return {
        name: tuple(metric.added(each) for each in alone) for name, metric in independent().items()
    }


def figure(metric: str, priced: Priced) -> Figure:
    """Take a figure that follows from the network alone.

    Raises:
        BamctlError: it cannot be computed for the network, which may be user-defined.
    """
    try:
        return _figure(METRICS[metric], priced)
    except Exception as error:
        let_through(error)
        raise BamctlError(f"{metric} could not be measured: {described(error)}") from error


def _figure(metric: Metric, priced: Priced) -> Figure:
    base = metric.base(priced)
    return Figure(base, base + metric.added(priced))


def figures_of(priced: Priced, metrics: Collection[str] | None = None) -> dict[str, Figure]:
    """Return figures of a placement that depend on no device, those that can be computed.

    Args:
        priced: the placement.
        metrics: the metrics to take. Default: all.
    """
    found: dict[str, Figure] = {}
    for metric in static():
        if metrics is not None and metric not in metrics:
            continue
        with suppress(BamctlError):
            found[metric] = figure(metric, priced)
    return found


def figure_on(metric: str, priced: Priced, allowance: DeviceAllowance) -> tuple[Figure, str]:
    """Take a figure on the device of its limit, with a note that says how.

    Raises:
        InputError: the device cannot be measured on, and no profile has that name.
        BamctlError: the device is unavailable, or the batch does not fit in its memory.
    """
    # This imports SciPy, which takes half a second.
    from bamctl.timing.profiles import is_measurable

    timed = (_measured if is_measurable(allowance.device) else _estimated)(priced, allowance)
    return _figure(METRICS[metric], replace(priced, times=timed)), timed.note


def _measured(on: Priced, allowance: DeviceAllowance) -> Timed:
    from bamctl.timing.measured import measure_placed
    from bamctl.timing.setup import Setup

    # A device might be faster with weights that are all zero.
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
    base = found.base.median_seconds
    return Timed(base, base * (found.ratio - 1), note)


def _estimated(on: Priced, allowance: DeviceAllowance) -> Timed:
    from bamctl.timing.placed import Estimator
    from bamctl.timing.profiles import find

    profile = find(allowance.device)
    estimator = Estimator(on.subject.network, on.subject.trace, profile)
    found = estimator.estimate(on.placed.sites, allowance.batch_size)
    note = (
        f"estimated for {profile.name} ({profile.precision}), batch {found.batch_size}: "
        f"{found.ratio:.3f} times the unmodified network's; times of networks of unseen families "
        f"are off by {units.share(profile.held_out.mean_error)} on average"
    )
    return Timed(found.base_seconds, found.added_seconds, note)
