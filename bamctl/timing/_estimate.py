"""Estimated latency on a device, from a trace."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bamctl.timing._kernels import Kernel, Kind
from bamctl.timing.hardware import Coefficients, Hardware, MemoryFormat

Numbers = np.ndarray

# Matrix products run in tiles of this many channels, narrow ones in tiles of 32 or 64; the
# exponent damps the loss of a partly filled one.
_TILE, _TILE_LOSS = 128, 0.5

# Exponent of the norm that combines compute and memory time, which overlap in part: 1 would add
# them, infinity would take the maximum.
_OVERLAP = 3
# The same, of a device that works while PyTorch launches its next kernels.
ASYNCHRONY = 4
# The same, of the two limits of products: matrix units, and power.
_LIMITS = 4


@dataclass(frozen=True)
class Device:
    """What a time depends on besides the network: peaks, fractions reached, memory format."""

    hardware: Hardware
    coefficients: Coefficients
    memory_format: MemoryFormat


@dataclass(frozen=True)
class Balance:
    """The weights of a device's work and of PyTorch's launches in the time of a network.

    A device works while further kernels are launched: the time is the norm of both, which their
    weighted sum equals. So kernels that are added to a network cost little where it waits for the
    other of the two.
    """

    work: float
    launches: float

    @classmethod
    def of(cls, work: float, launches: float) -> "Balance":
        """Weigh the seconds of a network's kernels, and those of launching them."""
        whole = (work**ASYNCHRONY + launches**ASYNCHRONY) ** (1 / ASYNCHRONY)
        if not whole:
            return cls(1.0, 1.0)
        return cls((work / whole) ** (ASYNCHRONY - 1), (launches / whole) ** (ASYNCHRONY - 1))


class KernelTable:
    """Kernels as columns of numbers, for vectorized estimates."""

    def __init__(self, kernels: Iterable[Kernel]) -> None:
        self.kernels = tuple(kernels)
        self.kinds = np.array([kernel.kind for kernel in self.kernels], dtype=object)
        self.macs = self._column("macs")
        self.activation_bytes = self._column("activation_bytes")
        self.weight_bytes = self._column("weight_bytes")
        self.channels_in = self._column("channels_in")
        self.channels_out = self._column("channels_out")
        self.taps = self._column("taps")

    def _column(self, name: str) -> Numbers:
        return np.array([getattr(kernel, name) for kernel in self.kernels], dtype=float)

    def work_seconds(self, device: Device, batch_size: int | Numbers) -> Numbers:
        """Estimate the seconds of each kernel on the device, for a batch.

        A smooth maximum of compute, memory and minimum time (Williams et al., "Roofline", CACM
        2009), and the copies by which a convolution reorders contiguous maps.
        """
        c = device.coefficients
        memory = self._memory_seconds(device, batch_size)
        times = (self._compute_seconds(device, batch_size), memory, c.floor_us * 1e-6)
        work = np.asarray(sum(each**_OVERLAP for each in times) ** (1 / _OVERLAP))
        return np.asarray((work + self._layout_seconds(device, batch_size)) * c.common)

    def launch_seconds(self, device: Device) -> float:
        """Return the seconds in which PyTorch launches one kernel."""
        return device.coefficients.launch_us * 1e-6

    def balance(self, device: Device, batch_size: int) -> Balance:
        """Weigh the work of all kernels and their launches."""
        work = float(self.work_seconds(device, batch_size).sum())
        return Balance.of(work, len(self.kernels) * self.launch_seconds(device))

    def seconds(self, device: Device, batch_size: int, balance: Balance | None = None) -> Numbers:
        """Estimate what each kernel contributes to the seconds of a batch.

        Args:
            device: the device.
            batch_size: images in a batch.
            balance: that of the network that has the kernels; of these alone if left out.
        """
        balance = balance or self.balance(device, batch_size)
        work = self.work_seconds(device, batch_size)
        return np.asarray(balance.work * work + balance.launches * self.launch_seconds(device))

    def by_kind(self, times: Numbers) -> dict[str, float]:
        """Sum a column of one number for each kernel, by kind of kernel."""
        kinds = dict.fromkeys(kernel.kind for kernel in self.kernels)
        return {kind: float(times[self.kinds == kind].sum()) for kind in kinds}

    def _compute_seconds(self, device: Device, batch_size: int | Numbers) -> Numbers:
        rate = np.ones_like(self.macs)
        for kind, rows in self._rows.items():
            efficiency = getattr(device.coefficients, kind)
            peak = 1e12 * _peak_tflops(kind, device) / 2
            rate[rows] = peak * efficiency * self._used(kind, rows, device.coefficients)
        if (linear := device.hardware.linear_tflops) is not None:
            rate[self._linear] *= linear / device.hardware.matrix_tflops
        return np.asarray(self.macs * batch_size / rate)

    def _used(self, kind: Kind, rows: Numbers, coefficients: Coefficients) -> Numbers | float:
        """Return the utilization of the device by products, from their widths."""
        if kind == "depthwise":
            return 1.0
        depth, out = self.taps[rows] * self.channels_in[rows], self.channels_out[rows]
        # The products of attention are matrix products, too.
        width = getattr(coefficients, f"{'matmul' if kind == 'attention' else kind}_width")
        used = depth / (depth + width) * out / (out + width)
        if kind == "grouped":
            aligned = (out / 2 ** np.ceil(np.log2(out))) ** coefficients.grouped_alignment
            return np.asarray(used * aligned)
        if kind == "attention":
            return np.asarray(used)
        tile = np.where(out <= _TILE / 4, _TILE / 4, np.where(out <= _TILE / 2, _TILE / 2, _TILE))
        return np.asarray(used * (out / (np.ceil(out / tile) * tile)) ** _TILE_LOSS)

    def _memory_seconds(self, device: Device, batch_size: int | Numbers) -> Numbers:
        traffic = self.activation_bytes * batch_size + self.weight_bytes
        cached = 1 / (1 + (traffic / (device.hardware.cache_mb * 1e6)) ** 2)
        slowness = 1 - cached + cached / device.coefficients.cache_speedup
        return np.asarray(traffic / _bandwidth(device) * slowness)

    def _layout_seconds(self, device: Device, batch_size: int | Numbers) -> Numbers:
        if device.memory_format == "channels_last":
            return np.zeros_like(self.macs)
        copied = np.zeros_like(self.macs)
        for name, rows in self._convolutions.items():
            copied[rows] = getattr(device.coefficients, name)
        return np.asarray(2 * copied * self.activation_bytes * batch_size / _bandwidth(device))

    @cached_property
    def _rows(self) -> dict[Kind, Numbers]:
        kinds: tuple[Kind, ...] = ("matmul", "spatial", "grouped", "depthwise", "attention")
        return {kind: np.flatnonzero(self.kinds == kind) for kind in kinds}

    @cached_property
    def _convolutions(self) -> dict[str, Numbers]:
        """The rows of convolutions, by the coefficient of their copies."""
        is_one = np.array([kernel.operator == "convolution" for kernel in self.kernels], dtype=bool)
        kinds = {
            "layout": ("spatial", "grouped"),
            "layout_pointwise": ("matmul",),
            "layout_depthwise": ("depthwise",),
        }
        return {
            name: np.flatnonzero(is_one & np.isin(self.kinds, of)) for name, of in kinds.items()
        }

    @cached_property
    def _linear(self) -> Numbers:
        """The rows of products that are no convolutions."""
        return np.array([k.macs > 0 and k.operator != "convolution" for k in self.kernels], bool)


def _peak_tflops(kind: Kind, device: Device) -> float:
    """Return the peak of a kind of product."""
    hardware, coefficients = device.hardware, device.coefficients
    if kind == "depthwise":
        return hardware.vector_tflops
    peak = hardware.matrix_tflops
    if hardware.power_watts is not None:
        limit = coefficients.watt_tflops * hardware.power_watts
        peak = (peak**-_LIMITS + limit**-_LIMITS) ** (-1 / _LIMITS)
    if kind in ("spatial", "grouped"):
        share = min(coefficients.issue, 1.0)
        return float(peak ** (1 - share) * hardware.issue_tflops**share)
    return peak


def _bandwidth(device: Device) -> float:
    return device.hardware.bandwidth_gbps * 1e9 * device.coefficients.bandwidth
