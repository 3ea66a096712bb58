"""The figures of a network that a budget can limit, without and with its attention modules."""

import copy
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from bamctl import checkpoints, models, units
from bamctl.budget import DeviceAllowance
from bamctl.cost import PlacementCost, placement_cost
from bamctl.cut_points import Trunk
from bamctl.errors import BamctlError, InputError, described, let_through
from bamctl.inputs import Inputs
from bamctl.memory import kept_for_backward, on_meta
from bamctl.metrics import METRICS, Amount, Metric, independent
from bamctl.placement import Placement
from bamctl.sites import Site, resolve
from bamctl.surgery import insert_sites
from bamctl.tracing import Trace, trace
from bamctl.trunk import find_trunk


@dataclass(frozen=True)
class Figure:
    """What a network costs by one metric, in its own unit, without and with attention modules."""

    base: Amount
    value: Amount


@dataclass(frozen=True)
class Subject:
    """A network, traced once for all the placements on it."""

    network: nn.Module
    trace: Trace
    trunk: Trunk

    @cached_property
    def memory_bytes(self) -> int:
        """What training the unmodified network keeps for the backward pass, for one image."""
        try:
            return kept_for_backward(on_meta(self.network), self.trace.given)
        except (RuntimeError, NotImplementedError):
            # It reads numbers off its tensors, or makes some on a device of its own choice.
            return kept_for_backward(copy.deepcopy(self.network), self.trace.given)


@dataclass(frozen=True)
class Timed:
    """The time of a batch on a device, and how sure that is, in words."""

    base_seconds: float
    added_seconds: float
    note: str = ""


@dataclass(frozen=True)
class Priced:
    """A placement on its network, with its sites and what they cost: what metrics are taken from.

    `times` are those on a device, for the metrics that need one.
    """

    subject: Subject
    placement: Placement
    placed: PlacementCost
    times: Timed | None = None

    @property
    def timed(self) -> Timed:
        """The times on a device, where they have been taken."""
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
        """The bytes of the unmodified network's weights as a file."""
        return checkpoints.file_size(self.subject.network.state_dict())

    @cached_property
    def modified_file_bytes(self) -> int:
        """The bytes of the modified network's weights as a file: names and shapes decide."""
        return checkpoints.file_size(self.modified.state_dict())


def load_subject(placement: Placement, *, initialize: bool = False) -> Subject:
    """Build and trace the network that a placement is for.

    Args:
        placement: what it is for.
        initialize: whether its weights matter; `models.build` says more.

    Raises:
        InputError: the placement names no network, or one that cannot be built or traced.
    """
    network = build(placement, initialize=initialize)
    traced = trace(network, _inputs(placement))
    return Subject(network, traced, find_trunk(network, traced))


def build(placement: Placement, *, initialize: bool) -> nn.Module:
    """Build the network that a placement is for; `models.build` says what `initialize` does.

    Raises:
        InputError: the placement names no network, or one that cannot be built.
    """
    return models.build(
        _model_name(placement),
        inputs=_inputs(placement),
        num_classes=placement.num_classes,
        stem=placement.stem,
        args=placement.args,
        initialize=initialize,
    )


def _model_name(placement: Placement) -> str:
    if placement.model is None:
        raise InputError("no model: add `model: resnet50` to the placement, or give --model")
    return models.check_name(placement.model)


def _inputs(placement: Placement) -> Inputs:
    return placement.input or models.default_inputs(_model_name(placement))


def price(subject: Subject, placement: Placement) -> Priced:
    """Find the sites of a placement in a network, and what they cost.

    Raises:
        InputError: the placement does not fit the network.
    """
    return price_sites(subject, placement, resolve(placement, subject.trunk))


def price_sites(subject: Subject, placement: Placement, sites: tuple[Site, ...]) -> Priced:
    """What other sites than those of the placement cost."""
    return Priced(subject, placement, placement_cost(sites, subject.network, subject.trace))


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
        BamctlError: the network, which may be somebody's own, does not let it be taken.
    """
    try:
        return _figure(METRICS[metric], priced)
    except Exception as error:
        let_through(error)
        raise BamctlError(f"{metric} could not be taken: {described(error)}") from error


def _figure(metric: Metric, priced: Priced) -> Figure:
    base = metric.base(priced)
    return Figure(base, base + metric.added(priced))


def figure_on(metric: str, priced: Priced, allowance: DeviceAllowance) -> tuple[Figure, str]:
    """Take a figure on the device of its limit, with a note that says how.

    Raises:
        InputError: the device is none to measure on, and no profile is of that name.
        BamctlError: the device is not there, or the batch does not fit in its memory.
    """
    # SciPy, which is under this, takes half a second to import.
    from bamctl.latency.profiles import is_measurable

    timed = (_measured if is_measurable(allowance.device) else _estimated)(priced, allowance)
    return _figure(METRICS[metric], replace(priced, times=timed)), timed.note


def _measured(on: Priced, allowance: DeviceAllowance) -> Timed:
    from bamctl.latency.placed import measure_placed
    from bamctl.latency.setup import Setup

    # Of weights that are all zero, a device might make short work.
    found = measure_placed(
        build(on.placement, initialize=True),
        on.placed.sites,
        _inputs(on.placement),
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
    return Timed(found.base_seconds, found.added_seconds, note)
