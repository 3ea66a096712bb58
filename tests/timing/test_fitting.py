"""A fit finds again what times were made with, and says what they could not tell it."""

import numpy as np
import pytest

from bamctl.errors import BamctlError
from bamctl.timing._estimate import Device, KernelTable
from bamctl.timing._kernels import Kernel
from bamctl.timing.fitting import Error, Sample, errors, fit, held_out_errors, summarize
from bamctl.timing.hardware import Coefficients, Hardware

HARDWARE = Hardware(matrix_tflops=80, vector_tflops=40, bandwidth_gbps=900, cache_mb=6)
HIDDEN = Coefficients(
    matmul=1.3,
    spatial=0.8,
    grouped=0.7,
    depthwise=0.3,
    attention=0.2,
    matmul_width=60,
    spatial_width=12,
    grouped_width=20,
    grouped_alignment=0.7,
    bandwidth=0.75,
    cache_speedup=3,
    floor_us=4,
    launch_us=12,
)
DEVICE = Device(HARDWARE, HIDDEN, "channels_last")
BATCH = 64


def network(
    rng: np.random.Generator, kinds: tuple[str, ...] = ("matmul", "spatial", "depthwise")
) -> KernelTable:
    """Kernels of random sizes, each beside one that only moves data."""
    kernels = []
    for _ in range(20):
        channels = int(2 ** rng.uniform(4, 10))
        numbers = int(channels * 4 ** rng.uniform(3, 7))
        kernels.append(
            Kernel(
                str(rng.choice(kinds)),
                "",
                macs=numbers * channels,
                activation_bytes=4 * numbers,
                channels_in=channels,
                channels_out=channels,
                taps=1,
            )
        )
        kernels.append(Kernel("memory", "", activation_bytes=4 * numbers))
    return KernelTable(kernels)


def samples(noise: float = 0.0, families: int = 5, **options: object) -> list[Sample]:
    rng, found = np.random.default_rng(0), []
    for number in range(30):
        kernels = network(rng, **options)
        seconds = kernels.seconds(DEVICE, BATCH).sum() * np.exp(rng.normal(0, noise))
        family = f"family{number % families}"
        found.append(Sample(f"network{number}", family, kernels, BATCH, float(seconds)))
    return found


def test_it_explains_what_it_was_given() -> None:
    given = samples()
    belief = fit(given, HARDWARE, "channels_last").belief
    found = errors(given, HARDWARE, "channels_last", belief)
    assert max(abs(each.error) for each in found) < 0.02
    assert [each.model for each in found] == [each.model for each in given]


def test_it_explains_what_it_has_not_seen() -> None:
    told: list[str] = []
    found = held_out_errors(samples(noise=0.03), HARDWARE, "channels_last", told.append)
    assert np.mean([abs(each.error) for each in found]) < 0.05
    assert told == [f"family{number}" for number in range(5)]
    assert len(found) == 30


def test_what_nothing_was_seen_of_is_an_assumption() -> None:
    found = fit(samples(), HARDWARE, "channels_last")
    assert {"grouped", "grouped_width", "attention", "grouped_alignment"} <= set(found.assumed)
    assert "bandwidth" not in found.assumed
    only_memory = fit(samples(kinds=("memory",)), HARDWARE, "channels_last")
    assert {"matmul", "spatial", "depthwise"} <= set(only_memory.assumed)


def test_one_family_cannot_be_held_out() -> None:
    with pytest.raises(BamctlError, match="all networks are of one family"):
        held_out_errors(samples(families=1), HARDWARE, "channels_last")


def test_a_summary_by_hand() -> None:
    found = summarize(
        [
            Error("a", "x", 1, measured_seconds=10, estimated_seconds=11),
            Error("b", "x", 1, measured_seconds=20, estimated_seconds=18),
            # For an image this one is the fastest, though its batch is the slowest.
            Error("c", "y", 100, measured_seconds=100, estimated_seconds=130),
        ]
    )
    assert found.mean_error == pytest.approx((0.1 + 0.1 + 0.3) / 3, abs=1e-4)
    assert found.max_error == pytest.approx(0.3)
    assert found.rank_correlation == 1
    assert found.families == pytest.approx({"x": 0.1, "y": 0.3})
