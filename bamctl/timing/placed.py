"""Latency of a network without and with attention modules: measured, or estimated."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bamctl.networks.inputs import InputsLike, read
from bamctl.networks.inserted import HOLDER
from bamctl.networks.memory import sharing_weights
from bamctl.placement.sites import Site
from bamctl.surgery import insert as surgery
from bamctl.timing import setup as setups
from bamctl.timing._estimate import KernelTable
from bamctl.timing._kernels import Kernel, lower
from bamctl.timing.measure import Latency, in_turn, measure
from bamctl.timing.profiles import Profile
from bamctl.timing.setup import Setup
from bamctl.tracing.trace import Trace, trace


def with_sites(network: nn.Module, sites: Sequence[Site]) -> nn.Module:
    """Copy a network and insert attention modules; the copy shares the original's weights."""
    modified = sharing_weights(network)
    if sites:
        surgery.insert_sites(modified, sites)
    return modified


def measure_placed(
    network: nn.Module,
    sites: Sequence[Site],
    given: InputsLike,
    *,
    setup: Setup | None = None,
    batch_size: int = 1,
    min_seconds: float = 10.0,
    per_site: bool = False,
) -> Latency:
    """Time a network without and with attention modules, and each of them alone if requested.

    `measure` describes the arguments and errors.
    """
    modified = with_sites(network, sites)
    found = measure(
        network,
        modified,
        given,
        setup=setup,
        batch_size=batch_size,
        min_seconds=min_seconds,
    )
    if not per_site:
        return found
    alone = measure_sites(modified, sites, given, setup=setup, batch_size=batch_size)
    return replace(found, sites=alone)


def measure_sites(
    modified: nn.Module,
    sites: Sequence[Site],
    given: InputsLike,
    *,
    setup: Setup | None = None,
    batch_size: int = 1,
    min_seconds: float = 2.0,
) -> dict[str, float]:
    """Time each inserted module alone, on a map of the shape of its input.

    In turn, as networks are measured.

    Args:
        modified: the network with the modules.
        sites: their sites.
        given: the shapes of the network's inputs, without the batch.
        setup: the set-up.
        batch_size: images in a batch.
        min_seconds: minimum duration of the measurement, for all of them together.

    Returns:
        The median over the rounds, in seconds, by the module of the site.

    Raises:
        BamctlError: the device is unavailable.
    """
    if not sites:
        return {}
    setup = setup or Setup()
    with setups.at_work_on(setup.check()):
        (network,) = setups.prepared([modified], read(given), setup)
        modules = list(network.get_submodule(HOLDER).children())
        maps = _maps_given(network, modules, given, batch_size, setup)
        calls = [
            setups.repeated(module, (at,), setup) for module, at in zip(modules, maps, strict=True)
        ]
        threads = setup.threads or torch.get_num_threads()
        rounds = in_turn(calls, min_seconds, threads)
    medians = np.median(np.array(rounds), axis=0)
    return {site.name: float(m) for site, m in zip(sites, medians, strict=True)}


def _maps_given(
    network: nn.Module, modules: list[nn.Module], given: InputsLike, batch_size: int, setup: Setup
) -> list[Tensor]:
    """Return a random map for each inserted module, shaped like its input in a pass.

    Not the input itself: in a deep network with random weights it may vanish, and a CPU is slow
    with subnormal numbers.
    """
    found: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        found[module] = torch.randn_like(arguments[0]).requires_grad_(setup.train)

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        with torch.no_grad():
            network(*setups.arguments(network, read(given), batch_size, setup))
    finally:
        for handle in handles:
            handle.remove()
    return [found[module] for module in modules]


@dataclass(frozen=True)
class LatencyEstimate:
    """An estimated latency on the device of a profile, without and with the modules.

    `sites` has the seconds that each module adds. `base_kinds` splits `base_seconds` by kind of
    kernel, `added_kinds` the added seconds.
    """

    profile: Profile
    batch_size: int
    base_seconds: float
    sites: dict[str, float]
    base_kinds: dict[str, float]
    added_kinds: dict[str, float]
    num_base_kernels: int
    num_added_kernels: int

    @property
    def added_seconds(self) -> float:
        """The seconds that the modules add."""
        return sum(self.sites.values())

    @property
    def modified_seconds(self) -> float:
        """The seconds with the modules."""
        return self.base_seconds + self.added_seconds

    @property
    def ratio(self) -> float:
        """The time with the modules as a multiple of the time without."""
        return self.modified_seconds / self.base_seconds

    @property
    def launch_fraction(self) -> float:
        """The fraction of the added time that is due to kernel launches."""
        added = self.added_seconds
        launches = self.num_added_kernels * self.profile.coefficients.launch_us / 1e6
        return min(1.0, launches / added) if added else 0.0


@dataclass(frozen=True)
class AddedLatency:
    """The latency of each of several attention modules for one batch.

    `profile` is that of an estimate; None if the modules were timed, each alone.
    """

    device: str
    device_name: str
    batch_size: int
    base_seconds: float
    sites: dict[str, float]
    profile: Profile | None = None


def estimated_added(
    network: nn.Module, traced: Trace, sites: Sequence[Site], profile: Profile, batch_size: int
) -> AddedLatency:
    """Estimate the latency that modules at the sites add on the device of a profile."""
    found = Estimator(network, traced, profile).estimate(sites, batch_size)
    return AddedLatency(
        profile.name, profile.name, batch_size, found.base_seconds, found.sites, profile
    )


def measured_added(
    network: nn.Module, given: InputsLike, sites: Sequence[Site], setup: Setup, batch_size: int
) -> AddedLatency:
    """Time modules at the sites, each alone, and the network without them.

    Raises:
        BamctlError: the device is unavailable, or the batch does not fit in its memory.
    """
    base = measure(network, network, given, setup=setup, batch_size=batch_size, min_seconds=1.0)
    modified = with_sites(network, sites)
    alone = measure_sites(modified, sites, given, setup=setup, batch_size=batch_size)
    return AddedLatency(setup.device, base.device_name, batch_size, base.base.median_seconds, alone)


class Estimator:
    """Estimator of one traced network on one device, for any sites and batch sizes."""

    def __init__(self, network: nn.Module, traced: Trace, profile: Profile) -> None:
        self._network = network
        self._trace = traced
        self._profile = profile
        lowered = lower(traced, profile.precision)
        # Bytes per element of the output of a module's first call, where known.
        outputs = {call.module: call.output for call in reversed(traced.calls)}
        self._widths = {
            module: lowered.widths.get(value)
            for module, value in outputs.items()
            if value is not None
        }
        self._base = KernelTable(lowered.kernels)
        # Equal modules on equal maps are traced once.
        self._tables: dict[Hashable, KernelTable] = {}

    def estimate(self, sites: Sequence[Site], batch_size: int = 1) -> LatencyEstimate:
        """Estimate the latency of a batch without and with attention modules at the sites."""
        base = self._seconds(self._base, batch_size)
        tables = {site.name: self._table(site) for site in sites}
        added = {name: self._seconds(each, batch_size) for name, each in tables.items()}
        kinds = [table.by_kind(added[name]) for name, table in tables.items()]
        return LatencyEstimate(
            profile=self._profile,
            batch_size=batch_size,
            base_seconds=float(base.sum()),
            sites={name: float(times.sum()) for name, times in added.items()},
            base_kinds=self._base.by_kind(base),
            added_kinds={
                kind: sum(each.get(kind, 0.0) for each in kinds)
                for kind in dict.fromkeys(kind for each in kinds for kind in each)
            },
            num_base_kernels=len(base),
            num_added_kernels=sum(map(len, added.values())),
        )

    def _seconds(self, table: KernelTable, batch_size: int) -> np.ndarray:
        profile = self._profile
        return table.seconds(profile.hardware, profile.coefficients, batch_size)

    def _table(self, site: Site) -> KernelTable:
        width = self._widths.get(site.point.module)
        key = (site.point.map, site.attention, site.repeated_block, width)
        if key not in self._tables:
            self._tables[key] = KernelTable(self._site_kernels(site, width))
        return self._tables[key]

    def _site_kernels(self, site: Site, width: int | None) -> list[Kernel]:
        """List the kernels of one attention module on the map of its site."""
        at = site.point.map
        traced = trace(surgery.build_module(self._network, site), at.shape)
        kernels = lower(traced, self._profile.precision, input_width=width).kernels
        return [kernel.times(at.batch) for kernel in kernels]
