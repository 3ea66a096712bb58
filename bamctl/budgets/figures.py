"""The figures of a network that a budget can limit, without and with its attention modules."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from torch import nn

from bamctl import units
from bamctl.errors import BamctlError, described, let_through
from bamctl.networks.memory import on_meta
from bamctl.placement.budget import DeviceAllowance, parse_limit
from bamctl.placement.cost import PlacementCost, place, placement_cost
from bamctl.placement.metrics import METRICS, Amount, Metric, independent, static
from bamctl.placement.placement import Placement
from bamctl.placement.sites import Site
from bamctl.surgery.insert import insert_sites
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import checkpoints

if TYPE_CHECKING:
    from bamctl.timing.placed import Estimator


@dataclass(frozen=True)
class Figure:
    """The cost of a network by one metric, in its unit, without and with attention modules.

    `interval` is the 90 % interval of an estimated value; None of an exact or a measured one.
    """

    base: Amount
    value: Amount
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Timed:
    """The time of a batch on a device, and how sure that is, in words and as 90 % intervals.

    `ratio` is that of the time with the modules to the time without.
    """

    base_seconds: float
    added_seconds: float
    note: str = ""
    modified: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None

    def interval(self, *, is_relative: bool) -> tuple[float, float] | None:
        """Return the interval of the time with the modules, in seconds.

        Args:
            is_relative: beside the time without them, whatever that is.
        """
        if not is_relative or self.ratio is None:
            return self.modified
        low, high = self.ratio
        return low * self.base_seconds, high * self.base_seconds


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
    found = _figure(METRICS[metric], replace(priced, times=timed))
    is_relative = parse_limit(metric, allowance.max).is_relative
    return replace(found, interval=timed.interval(is_relative=is_relative)), timed.note


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


@lru_cache(maxsize=1)
def _estimator(subject: TracedNetwork, device: str) -> "Estimator":
    """Return the estimator of a network, which the placements on it share."""
    from bamctl.timing.placed import Estimator
    from bamctl.timing.profiles import find

    return Estimator(subject.network, subject.trace, find(device))


def _estimated(on: Priced, allowance: DeviceAllowance) -> Timed:
    estimator = _estimator(on.subject, allowance.device)
    profile = estimator.profile
    found = estimator.estimate(on.placed.sites, allowance.batch_size, intervals=True)
    unseen = "of devices left out" if profile.known_from == "data_sheet" else "of unseen families"
    note = (
        f"estimated for {profile.name} ({profile.precision}), batch {found.batch_size}: "
        f"{found.ratio:.3f} times the unmodified network's; times {unseen} are off by "
        f"{units.share(profile.held_out.mean_error)} on average"
    )
    if (sure := found.intervals) is None:
        return Timed(found.base_seconds, found.added_seconds, note)
    return Timed(found.base_seconds, found.added_seconds, note, sure.modified_seconds, sure.ratio)
