"""The peaks of a device, measured by large matrix products and large copies."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bamctl.timing._kernels import Precision
from bamctl.timing.hardware import Hardware
from bamctl.timing.measure import benchmark
from bamctl.timing.setup import DTYPES


def seconds_of(call: Callable[[], object], at_least: float) -> float:
    """Return the median seconds of a call, measured for a minimum time."""
    timer = benchmark().Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    measured = timer.blocked_autorange(min_run_time=at_least)
    return float(measured.median)


def measured_hardware(device: torch.device, precision: Precision, seconds: float) -> Hardware:
    """Measure the peaks of a device by large matrix products and large copies.

    The size of the last-level cache is queried; 32 MB is assumed if it is not reported.
    """
    half = DTYPES.get(precision.removeprefix("amp_"), torch.float32)
    return Hardware(
        matrix_tflops=_tflops(device, half, seconds),
        vector_tflops=_tflops(device, torch.float32, seconds),
        bandwidth_gbps=_bandwidth_gbps(device, seconds),
        cache_mb=_cache_bytes(device) / 1e6,
    )


def _tflops(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    sides = (512, 1024, 2048) if device.type == "cpu" else (2048, 4096, 8192)
    rates = []
    for side in sides:
        a = torch.randn(side, side, device=device).to(dtype)
        result = torch.empty_like(a)
        taken = seconds_of(partial(torch.mm, a, a, out=result), seconds)
        rates.append(2 * side**3 / taken / 1e12)
    return float(f"{max(rates):.4g}")


def _bandwidth_gbps(device: torch.device, seconds: float) -> float:
    # Larger than any last-level cache.
    source = torch.ones(2**28 if device.type != "cpu" else 2**26, device=device)
    target = torch.empty_like(source)
    taken = seconds_of(partial(target.copy_, source), seconds)
    return float(f"{2 * source.nbytes / taken / 1e9:.4g}")


def _cache_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        properties: Any = torch.cuda.get_device_properties(device)
        return int(getattr(properties, "L2_cache_size", 0) or 32_000_000)
    path = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    try:
        return int(path.read_text(encoding="ascii").strip().removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 32_000_000
