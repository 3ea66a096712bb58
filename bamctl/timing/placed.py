"""Estimated latency of a network without and with attention modules."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from bamctl.placement.sites import Site
from bamctl.surgery import insert as surgery
from bamctl.timing._beliefs import slopes
from bamctl.timing._estimate import Device, KernelTable
from bamctl.timing._kernels import Kernel, lower
from bamctl.timing.hardware import Coefficients
from bamctl.timing.profiles import Profile
from bamctl.timing.spread import Interval
from bamctl.tracing.trace import Trace, trace


@dataclass(frozen=True)
class Intervals:
    """The 90 % intervals of an estimate, of the times in seconds and of their ratio.

    Wide for times, since whatever a device is off by is in all of them; narrow for the ratio.
    """

    base_seconds: Interval
    modified_seconds: Interval
    ratio: Interval


@dataclass(frozen=True)
class LatencyEstimate:
    """An estimated latency on the device of a profile, without and with the modules.

    `sites` has the seconds that each module adds. `base_kinds` splits `base_seconds` by kind of
    kernel, `added_kinds` the added seconds; `launch_seconds` of the added ones are those in which
    the device waits for launches. `intervals` is None unless requested, or if the profile is of an
    earlier version, which has no spread.
    """

    profile: Profile
    batch_size: int
    base_seconds: float
    sites: dict[str, float]
    base_kinds: dict[str, float]
    added_kinds: dict[str, float]
    num_base_kernels: int
    num_added_kernels: int
    launch_seconds: float
    intervals: Intervals | None = None

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
        return min(1.0, self.launch_seconds / added) if added else 0.0


@dataclass(frozen=True)
class AddedLatency:
    """The latency of each of several attention modules for one batch.

    `profile` is that of an estimate; None if the modules were timed, each alone. `intervals` are
    those of the network without and with all of the modules.
    """

    device: str
    device_name: str
    batch_size: int
    base_seconds: float
    sites: dict[str, float]
    profile: Profile | None = None
    intervals: Intervals | None = None


def estimated_added(
    network: nn.Module, traced: Trace, sites: Sequence[Site], profile: Profile, batch_size: int
) -> AddedLatency:
    """Estimate the latency that modules at the sites add on the device of a profile."""
    found = Estimator(network, traced, profile).estimate(sites, batch_size, intervals=True)
    return AddedLatency(
        profile.name,
        profile.name,
        batch_size,
        found.base_seconds,
        found.sites,
        profile,
        found.intervals,
    )


class Estimator:
    """Estimator of one traced network on the device of a profile, for any sites and batch sizes."""

    def __init__(self, network: nn.Module, traced: Trace, profile: Profile) -> None:
        self._network = network
        self._trace = traced
        self.profile = profile
        self._device = Device(profile.hardware, profile.coefficients, profile.memory_format)
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

    def estimate(
        self, sites: Sequence[Site], batch_size: int = 1, *, intervals: bool = False
    ) -> LatencyEstimate:
        """Estimate the latency of a batch without and with attention modules at the sites.

        Args:
            sites: the sites.
            batch_size: images in a batch.
            intervals: whether to also compute the intervals, in thirty times the time.
        """
        device = self._device
        balance = self._base.balance(device, batch_size)
        base = self._base.seconds(device, batch_size, balance)
        tables = {site.name: self._table(site) for site in sites}
        added = {name: table.seconds(device, batch_size, balance) for name, table in tables.items()}
        kinds = [table.by_kind(added[name]) for name, table in tables.items()]
        count = sum(map(len, added.values()))
        return LatencyEstimate(
            profile=self.profile,
            batch_size=batch_size,
            base_seconds=float(base.sum()),
            sites={name: float(times.sum()) for name, times in added.items()},
            base_kinds=self._base.by_kind(base),
            added_kinds={
                kind: sum(each.get(kind, 0.0) for each in kinds)
                for kind in dict.fromkeys(kind for each in kinds for kind in each)
            },
            num_base_kernels=len(base),
            num_added_kernels=count,
            launch_seconds=count * balance.launches * self._base.launch_seconds(device),
            intervals=self._intervals(list(tables.values()), batch_size) if intervals else None,
        )

    def _intervals(self, tables: Sequence[KernelTable], batch_size: int) -> Intervals | None:
        spread = self.profile.spread
        if spread is None:
            return None

        def logs(coefficients: Coefficients) -> np.ndarray:
            device = replace(self._device, coefficients=coefficients)
            return np.log(self._totals(device, tables, batch_size))

        found, derived = slopes(logs, self.profile.coefficients)
        base, modified = np.exp(found)
        return Intervals(
            spread.time_interval(float(base), derived[0]),
            spread.time_interval(float(modified), derived[1]),
            spread.ratio_interval(float(modified / base), derived[1] - derived[0]),
        )

    def _totals(
        self, device: Device, tables: Sequence[KernelTable], batch_size: int
    ) -> tuple[float, float]:
        """Return the seconds of a batch without and with kernels that modules add."""
        balance = self._base.balance(device, batch_size)
        base = float(self._base.seconds(device, batch_size, balance).sum())
        added = sum(float(t.seconds(device, batch_size, balance).sum()) for t in tables)
        return base, base + added

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
        kernels = lower(traced, self.profile.precision, input_width=width).kernels
        return [kernel.times(at.batch) for kernel in kernels]
