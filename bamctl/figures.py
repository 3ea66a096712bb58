"""The figures of a network that a budget can limit, without and with its attention modules."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from bamctl import checkpoints, models
from bamctl.budget import Metric
from bamctl.cost import PlacementCost, placement_cost
from bamctl.cut_points import Trunk, find_trunk
from bamctl.errors import InputError
from bamctl.memory import kept_for_backward, on_meta
from bamctl.placement import Placement
from bamctl.sites import Site, resolve
from bamctl.surgery import insert_sites
from bamctl.tracing import Trace, trace


@dataclass(frozen=True)
class Figure:
    """What a network costs by one metric, without and with its attention modules."""

    base: int
    value: int


@dataclass(frozen=True)
class Subject:
    """A network, traced once for all the placements on it."""

    network: nn.Module
    trace: Trace
    trunk: Trunk

    @cached_property
    def memory_bytes(self) -> int:
        """What training the unmodified network keeps for the backward pass, for one image."""
        return kept_for_backward(on_meta(self.network), self.trace.input_shape[1:])


@dataclass(frozen=True)
class Priced:
    """A placement on its network, with its sites and what they cost."""

    subject: Subject
    placement: Placement
    placed: PlacementCost


def load_subject(placement: Placement) -> Subject:
    """Build and trace the network that a placement is for.

    Raises:
        InputError: the placement names no network, or one that cannot be built or traced.
    """
    if placement.model is None:
        raise InputError("no model: add `model: resnet50` to the placement, or give --model")
    shape = placement.input or models.default_input_shape(models.check_name(placement.model))
    network = models.build(
        placement.model,
        input_shape=shape,
        num_classes=placement.num_classes,
        stem=placement.stem,
        initialize=False,
    )
    traced = trace(network, shape)
    return Subject(network, traced, find_trunk(network, traced))


def price(subject: Subject, placement: Placement) -> Priced:
    """Find the sites of a placement in a network, and what they cost.

    Raises:
        InputError: the placement does not fit the network.
    """
    return price_sites(subject, placement, resolve(placement, subject.trunk))


def price_sites(subject: Subject, placement: Placement, sites: tuple[Site, ...]) -> Priced:
    """What other sites than those of the placement cost."""
    return Priced(subject, placement, placement_cost(sites, subject.network, subject.trace))


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
    base = checkpoints.file_size(on.subject.network.state_dict(), None)
    if not on.placed.sites:
        return Figure(base, base)
    # Names and shapes make the size, so the copy that is modified has no weights.
    modified = on_meta(on.subject.network)
    insert_sites(modified, on.placed.sites)
    named = on.placement.with_sites({site.point.module: site.attention for site in on.placed.sites})
    return Figure(base, checkpoints.file_size(modified.state_dict(), named))


# How each metric of a budget is measured.
MEASURES: dict[Metric, Callable[[Priced], Figure]] = {
    "params": _params,
    "macs": _macs,
    "memory": _memory,
    "weights_file": _weights_file,
}
