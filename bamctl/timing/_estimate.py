"""Estimated latency on the device of a profile, from a trace."""

from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np

from bamctl.timing._kernels import Kernel, Kind
from bamctl.timing.profiles import Coefficients, Hardware

Numbers = np.ndarray

# Matrix products run in tiles of this many channels; the exponent damps the loss of a partly
# filled one.
_TILE, _TILE_LOSS = 128, 0.5

# Exponent of the norm that combines compute and memory time, which overlap in part: 1 would add
# them, infinity would take the maximum.
_OVERLAP = 3


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

    def seconds(
        self, hardware: Hardware, coefficients: Coefficients, batch_size: int | Numbers
    ) -> Numbers:
        """Estimate the seconds of each kernel for a batch.

        A smooth maximum of compute, memory and launch time (Williams et al., "Roofline", CACM
        2009). Launches do not overlap with the previous kernel, as they partly do on a device,
        so that small batches are not underestimated.
        """
        launch = coefficients.launch_us * 1e-6
        times = (
            self._compute_seconds(hardware, coefficients, batch_size),
            self._memory_seconds(hardware, coefficients, batch_size),
            launch,
        )
        return np.asarray(sum(each**_OVERLAP for each in times) ** (1 / _OVERLAP))

    def by_kind(self, times: Numbers) -> dict[str, float]:
        """Sum a column of one number for each kernel, by kind of kernel."""
        kinds = dict.fromkeys(kernel.kind for kernel in self.kernels)
        return {kind: float(times[self.kinds == kind].sum()) for kind in kinds}

    def _compute_seconds(
        self, hardware: Hardware, coefficients: Coefficients, batch_size: int | Numbers
    ) -> Numbers:
        vector, matrix = (1e12 * t / 2 for t in (hardware.vector_tflops, hardware.matrix_tflops))
        rate = np.ones_like(self.macs)
        for kind, rows in self._rows.items():
            peak = vector if kind == "depthwise" else matrix
            rate[rows] = peak * getattr(coefficients, kind) * self._used(kind, rows, coefficients)
        return np.asarray(self.macs * batch_size / rate)

    def _used(self, kind: Kind, rows: Numbers, coefficients: Coefficients) -> Numbers | float:
        """Return the utilization of the device by products, from their widths."""
        if kind == "depthwise":
            return 1.0
        depth, out = self.taps[rows] * self.channels_in[rows], self.channels_out[rows]
        width = getattr(coefficients, f"{_WIDTHS.get(kind, kind)}_width")
        used = depth / (depth + width) * out / (out + width)
        if kind == "grouped":
            return np.asarray(
                used * (out / 2 ** np.ceil(np.log2(out))) ** coefficients.grouped_alignment
            )
        if kind == "attention":
            return np.asarray(used)
        return np.asarray(used * (out / (np.ceil(out / _TILE) * _TILE)) ** _TILE_LOSS)

    def _memory_seconds(
        self, hardware: Hardware, coefficients: Coefficients, batch_size: int | Numbers
    ) -> Numbers:
        traffic = self.activation_bytes * batch_size + self.weight_bytes
        cached = 1 / (1 + (traffic / (hardware.cache_mb * 1e6)) ** 2)
        slowness = 1 - cached + cached / coefficients.cache_speedup
        bandwidth = hardware.bandwidth_gbps * 1e9 * coefficients.bandwidth
        return np.asarray(traffic / bandwidth * slowness)

    @cached_property
    def _rows(self) -> dict[Kind, Numbers]:
        kinds: tuple[Kind, ...] = ("matmul", "spatial", "grouped", "depthwise", "attention")
        return {kind: np.flatnonzero(self.kinds == kind) for kind in kinds}


# The products of attention are matrix products, too.
_WIDTHS: Mapping[str, str] = {"attention": "matmul"}
