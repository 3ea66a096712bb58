"""Measured latency: two networks timed in turn, and the ratio of their times."""

import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from time import perf_counter
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from scipy import stats
from torch import nn

from bamctl.errors import NO_MEMORY, BamctlError, first_line, let_through, machine_fault
from bamctl.networks.inputs import Inputs, InputsLike, read
from bamctl.timing import setup as setups
from bamctl.timing._peak_memory import peak_bytes, too_large
from bamctl.timing.setup import Setup

# A block of calls is timed as one; the overhead of the clock is negligible in one of this length.
_BLOCK_SECONDS = 0.02
_WARM_UP = 3
_MIN_ROUNDS = 20
_TRIMMED = 0.2
_GROUPS = 20

# An interval that contains 1 and is wider than this is inconclusive.
WIDE = 0.04

Verdict = Literal["slower", "faster", "no difference", "inconclusive"]


@dataclass(frozen=True)
class Spread:
    """The distribution of times."""

    median_seconds: float
    q25_seconds: float
    q75_seconds: float
    p90_seconds: float
    p99_seconds: float


@dataclass(frozen=True)
class Latency:
    """The latency of two networks for one batch, measured in turn in one process.

    `base_seconds` and `modified_seconds` have one time for each round and are compared round by
    round, so that a change of the machine's speed affects both. Peaks of memory include the
    weights; those of a CPU are counted, those of a GPU reported by its allocator, and None
    elsewhere. `seconds` is the duration of the measurement. `sites` has the seconds of each
    inserted module alone, if requested.
    """

    setup: Setup
    device_name: str
    clock_mhz: int | None
    versions: dict[str, str]
    batch_size: int
    threads: int
    seconds: float
    base_seconds: tuple[float, ...]
    modified_seconds: tuple[float, ...]
    base_peak_bytes: int | None = None
    modified_peak_bytes: int | None = None
    sites: dict[str, float] = field(default_factory=dict)

    @property
    def base(self) -> Spread:
        """The distribution of the first network's times."""
        return _spread(self.base_seconds)

    @property
    def modified(self) -> Spread:
        """The distribution of the second network's times."""
        return _spread(self.modified_seconds)

    @property
    def ratio(self) -> float:
        """The second network's time as a multiple of the first one's.

        The geometric mean over the rounds, trimmed by a fifth at either end.
        """
        return float(np.exp(stats.trim_mean(self._log_ratios, _TRIMMED)))

    @cached_property
    def ratio_ci95(self) -> tuple[float, float]:
        """The 95 % confidence interval of the ratio, by a block bootstrap over the rounds.

        Consecutive rounds are correlated, since other load on the machine outlasts one; they are
        resampled in blocks, of which there are up to twenty. A percentile interval of so few is
        too narrow; its percentiles are moved out as far as Student's t is beyond the normal
        (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.3).
        """
        parts = np.array_split(self._log_ratios, min(_GROUPS, len(self._log_ratios)))
        groups = [float(stats.trim_mean(part, _TRIMMED)) for part in parts]
        kept = len(groups) - 2 * int(_TRIMMED * len(groups))
        reach = stats.t.ppf(0.975, kept - 1) * (kept / (kept - 1)) ** 0.5
        found = stats.bootstrap(
            (groups,),
            lambda sample, axis: stats.trim_mean(sample, _TRIMMED, axis=axis),
            n_resamples=2000,
            confidence_level=1 - 2 * stats.norm.sf(reach),
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return float(np.exp(found.low)), float(np.exp(found.high))

    @property
    def verdict(self) -> Verdict:
        """The verdict on the second network, by the confidence interval."""
        low, high = self.ratio_ci95
        if low > 1:
            return "slower"
        if high < 1:
            return "faster"
        return "no difference" if high - low <= WIDE else "inconclusive"

    @property
    def seconds_to_tell(self) -> int:
        """The seconds of measurement for a conclusive interval, whose width falls as their root."""
        low, high = self.ratio_ci95
        return ceil(self.seconds * max(1.0, (high - low) / WIDE) ** 2)

    @property
    def _log_ratios(self) -> np.ndarray:
        return np.log(self.modified_seconds) - np.log(self.base_seconds)


def measure(
    base: nn.Module,
    modified: nn.Module,
    given: InputsLike,
    *,
    setup: Setup | None = None,
    batch_size: int = 1,
    min_seconds: float = 10.0,
) -> Latency:
    """Time two networks in turn, in the order A B, then B A, and so on.

    Both are warmed up, then timed by the clock of `torch.utils.benchmark`, which synchronizes the
    device. The networks themselves are unchanged: copies are moved, formatted and run.

    Args:
        base: a network.
        modified: another network with the same inputs.
        given: the shapes of their inputs, without the batch.
        setup: the set-up; a forward pass on the CPU in fp32 if left out.
        batch_size: images in a batch.
        min_seconds: minimum duration of the measurement.

    Raises:
        InputError: options of the setup exclude each other, or a network cannot be trained.
        BamctlError: the device is unavailable, the batch does not fit in its memory, or a network
            fails to run.
    """
    (found,) = measure_all(
        base, [modified], given, setup=setup, batch_size=batch_size, min_seconds=min_seconds
    )
    return found


def measure_all(
    base: nn.Module,
    modified: Sequence[nn.Module],
    given: InputsLike,
    *,
    setup: Setup | None = None,
    batch_size: int = 1,
    min_seconds: float = 10.0,
) -> tuple[Latency, ...]:
    """Time several networks beside one, all in turn in each round.

    `measure` describes the arguments and errors; `min_seconds` is for each pair of networks, as
    if these were measured alone.

    Returns:
        For each modified network its times beside those of the base, of the same rounds.
    """
    setup = setup or Setup()
    device, inputs = setup.check(), read(given)
    threads = setup.threads or torch.get_num_threads()
    try:
        with setups.at_work_on(device):
            networks = setups.prepared((base, *modified), inputs, setup)
            peaks = [peak_bytes(network, inputs, batch_size, setup) for network in networks]
            calls = [_call(network, inputs, batch_size, setup) for network in networks]
            start = perf_counter()
            rounds = in_turn(calls, min_seconds * len(calls) / 2, threads)
            seconds = perf_counter() - start
    except BamctlError:
        raise
    except Exception as error:  # whatever a network or a compiler raises
        let_through(error)
        if machine_fault(error) == NO_MEMORY:
            raise too_large(batch_size, setup) from error
        raise BamctlError(
            f"the network failed to run ({setup.dtype}, {setup.device}): {first_line(error)}"
        ) from error
    times = np.array(rounds).T.tolist()
    return tuple(
        Latency(
            setup=setup,
            device_name=setups.device_name(device),
            clock_mhz=setups.clock_mhz(device),
            versions=setups.versions(device),
            batch_size=batch_size,
            threads=threads,
            seconds=seconds,
            base_seconds=tuple(times[0]),
            modified_seconds=tuple(own),
            base_peak_bytes=peaks[0],
            modified_peak_bytes=peak,
        )
        for own, peak in zip(times[1:], peaks[1:], strict=True)
    )


def in_turn(
    calls: Sequence[Callable[[], object]], min_seconds: float, threads: int
) -> list[list[float]]:
    """Return the seconds of each call, round by round, each round in reverse order of the last.

    Measurements close in time are compared, since a machine's speed changes within a second.
    """
    with benchmark().set_torch_threads(threads):
        numbers = [_block(call) for call in calls]
        found: list[list[float]] = []
        order = list(range(len(calls)))
        end = perf_counter() + min_seconds
        while len(found) < _MIN_ROUNDS or perf_counter() < end:
            taken = {index: _seconds(calls[index], numbers[index]) for index in order}
            found.append([taken[index] for index in sorted(order)])
            order.reverse()
    return found


def benchmark() -> ModuleType:
    """Import `torch.utils.benchmark`, whose clock synchronizes CUDA."""
    # Its imports log a warning where CUDA is missing.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    return importlib.import_module("torch.utils.benchmark")


def _block(call: Callable[[], object]) -> int:
    """Warm up a call, and return the number of calls in a block that is long enough to time."""
    for _ in range(_WARM_UP):
        call()
    return max(1, round(_BLOCK_SECONDS / _seconds(call, _WARM_UP)))


def _seconds(call: Callable[[], object], number: int) -> float:
    """Return the seconds of one call, as the mean over `number` calls."""
    clock = benchmark().timer
    start = clock()
    for _ in range(number):
        call()
    return float(clock() - start) / number


def _spread(times: tuple[float, ...]) -> Spread:
    return Spread(float(np.median(times)), *np.percentile(times, [25, 75, 90, 99]).tolist())


def _call(network: nn.Module, given: Inputs, batch_size: int, setup: Setup) -> Callable[[], None]:
    return setups.repeated(network, setups.arguments(network, given, batch_size, setup), setup)
