"""Measuring finds what is there, as ratios, since no time is the same twice."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bamctl.errors import BamctlError
from bamctl.latency.measure import Latency, measure

SHAPE = (3, 32, 32)


class Work(nn.Module):
    """So many products of matrices, one after the other."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.weight = nn.Parameter(torch.eye(192))

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 192)
        for _ in range(self.count):
            x = x @ self.weight
        return x


def test_twice_the_work_takes_twice_as_long() -> None:
    found = measure(Work(100), Work(200), SHAPE, threads=1, min_seconds=2)
    low, high = found.ratio_ci95
    # A busy machine may be off by much, though not so much as to miss the direction.
    assert 1.5 < found.ratio < 2.5
    assert 1.2 < low <= found.ratio <= high < 3
    assert len(found.base_ms) == len(found.modified_ms) >= 10
    assert (found.device, found.batch_size, found.threads) == ("cpu", 1, 1)
    assert found.device_name


def test_the_interval_is_that_of_the_rounds() -> None:
    """By a simulation: in 200 measurements of a ratio of 1.05, about 95 % of intervals hold it."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        drift = np.exp(rng.normal(0, 0.3, 60))
        base = drift * np.exp(rng.normal(0, 0.03, 60))
        other = 1.05 * drift * np.exp(rng.normal(0, 0.03, 60))
        low, high = Latency("cpu", "cpu", 1, 1, tuple(base), tuple(other)).ratio_ci95
        held += low <= 1.05 <= high
    assert 180 <= held <= 199


def test_outliers_do_not_carry_the_ratio() -> None:
    base = (1.0,) * 20
    other = (1.1,) * 17 + (50.0,) * 3
    assert Latency("cpu", "cpu", 1, 1, base, other).ratio == pytest.approx(1.1)


@pytest.mark.parametrize("device", ["nothing", "cuda:99", "meta2"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(BamctlError, match=f"no device '{device}' to measure on") as error:
        measure(Work(1), Work(1), SHAPE, device=device)
    assert error.value.exit_code == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here to measure on")
def test_a_gpu_is_waited_for() -> None:
    found = measure(Work(500), Work(1000), SHAPE, device="cuda", min_seconds=2)
    assert 1.5 < found.ratio < 2.5
