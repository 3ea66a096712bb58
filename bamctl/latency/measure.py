"""Latency on the device at hand: two networks in turn, and what one costs relative to the other."""

import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from bamctl import example
from bamctl.errors import BamctlError, first_line
from bamctl.inputs import InputsLike, read

if TYPE_CHECKING:
    from torch.utils.benchmark import Timer

# A block of calls is timed as one; the clock and its warm-up vanish in a block of this length.
_BLOCK_SECONDS = 0.02
_MIN_ROUNDS = 10
_TRIMMED = 0.2


@dataclass(frozen=True)
class Latency:
    """How long two networks take for one batch, measured in turn in one process.

    `base_ms` and `modified_ms` have one time for each round, and what is done with them is done
    round by round, so that a change of the machine's speed meets both.
    """

    device: str
    device_name: str
    batch_size: int
    threads: int
    base_ms: tuple[float, ...]
    modified_ms: tuple[float, ...]

    @property
    def base_median_ms(self) -> float:
        """The median time of the first network."""
        return float(np.median(self.base_ms))

    @property
    def ratio(self) -> float:
        """The second network's time as a multiple of the first one's.

        The geometric mean over the rounds, without the fifth at either end.
        """
        return float(np.exp(stats.trim_mean(self._log_ratios, _TRIMMED)))

    @cached_property
    def ratio_ci95(self) -> tuple[float, float]:
        """The 95 % interval of the ratio, by bootstrap over the rounds."""
        found = stats.bootstrap(
            (self._log_ratios,),
            lambda sample, axis: stats.trim_mean(sample, _TRIMMED, axis=axis),
            n_resamples=2000,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return float(np.exp(found.low)), float(np.exp(found.high))

    @property
    def _log_ratios(self) -> np.ndarray:
        return np.log(self.modified_ms) - np.log(self.base_ms)


def check_device(name: str) -> torch.device:
    """A device that is there.

    Raises:
        BamctlError: it is not.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BamctlError(
            f"no device {name!r} to measure on: {first_line(error)}; cpu is always there"
        ) from error
    return device


def measure(
    base: nn.Module,
    modified: nn.Module,
    given: InputsLike,
    *,
    device: str = "cpu",
    batch_size: int = 1,
    threads: int | None = None,
    min_seconds: float = 10.0,
) -> Latency:
    """Time the forward passes of two networks in eval mode, in the order A B B A of each round.

    `torch.utils.benchmark` times them, which warms up and waits for the device.

    Args:
        base: a network; it is moved to the device.
        modified: another one of the same input.
        given: what they take, without the batch.
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        batch_size: images in a batch.
        threads: of the CPU; PyTorch's own number where left out.
        min_seconds: how long to measure, at least.

    Raises:
        BamctlError: the device is not there, or the batch does not fit in its memory.
    """
    on, count = check_device(device), threads or torch.get_num_threads()
    try:
        drawn = torch.Generator().manual_seed(0)
        arguments = example.arguments(base.to(on), read(given), batch_size, drawn)
        timers = [_timer(network.to(on).eval(), arguments, count) for network in (base, modified)]
        rounds = _rounds(timers[0], timers[1], min_seconds)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise BamctlError(
            f"a batch of {batch_size} does not fit in the memory of {device}; try a smaller one"
        ) from error
    times = np.array(rounds) * 1e3
    return Latency(
        device=device,
        device_name=_device_name(on),
        batch_size=batch_size,
        threads=count,
        base_ms=tuple(times[:, 0].tolist()),
        modified_ms=tuple(times[:, 1].tolist()),
    )


def _timer(network: nn.Module, arguments: tuple[Any, ...], threads: int) -> "Timer":
    # The benchmark's own imports warn of a CUDA that is not there.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import Timer

    def forward() -> None:
        with torch.inference_mode():
            network(*arguments)

    return Timer("forward()", globals={"forward": forward}, num_threads=threads)


def _rounds(one: "Timer", other: "Timer", min_seconds: float) -> list[tuple[float, float]]:
    """Seconds of a call of each, round by round."""
    calls = max(1, round(_BLOCK_SECONDS / one.timeit(3).median))

    def seconds(timer: "Timer") -> float:
        return float(timer.timeit(calls).median)

    found: list[tuple[float, float]] = []
    end = perf_counter() + min_seconds
    while len(found) < _MIN_ROUNDS or perf_counter() < end:
        # A drift that is linear over the round meets both alike.
        first, second, third, fourth = map(seconds, (one, other, other, one))
        found.append(((first + fourth) / 2, (second + third) / 2))
    return found


def _device_name(device: torch.device) -> str:
    names: dict[str, Callable[[], str]] = {"cuda": lambda: torch.cuda.get_device_name(device)}
    return names.get(device.type, lambda: platform.processor() or platform.machine())()
