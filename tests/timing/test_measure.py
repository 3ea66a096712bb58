"""Measuring finds what is there, as ratios, since no time is the same twice."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bamctl.errors import BamctlError
from bamctl.timing.measure import Latency, measure
from bamctl.timing.setup import Setup
from tests.networks import Delayed

SHAPE = (3, 32, 32)
ONE_THREAD = Setup(threads=1)


class Work(nn.Module):
    """So many products of matrices, one after the other."""

    def __init__(self, count: int, side: int = 192) -> None:
        super().__init__()
        self.count = count
        self.weight = nn.Parameter(torch.eye(side))

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, len(self.weight))
        for _ in range(self.count):
            x = x @ self.weight
        return x


def times(base: object, modified: object, seconds: float = 10.0) -> Latency:
    return Latency(
        setup=Setup(),
        device_name="cpu",
        clock_mhz=None,
        versions={},
        batch_size=1,
        threads=1,
        seconds=seconds,
        base_seconds=tuple(base),
        modified_seconds=tuple(modified),
    )


def test_four_times_the_work_takes_four_times_as_long() -> None:
    found = measure(Work(100), Work(400), SHAPE, setup=ONE_THREAD, min_seconds=2)
    low, high = found.ratio_ci95
    # A busy machine may be off by much, though not so much as to miss the direction.
    assert 2 < found.ratio < 8
    assert 1.1 < low <= found.ratio <= high
    assert found.verdict == "slower"
    assert len(found.base_seconds) == len(found.modified_seconds) >= 20
    assert (found.setup.device, found.batch_size, found.threads) == ("cpu", 1, 1)
    assert found.device_name
    assert found.versions["torch"] == torch.__version__


def test_a_delay_is_found() -> None:
    """Of four times as long, which other work does not hide; the benchmarks have a twentieth."""
    network = Work(50)
    found = measure(network, Delayed(network, 4), SHAPE, setup=ONE_THREAD, min_seconds=3)
    assert found.verdict == "slower"
    assert 2 < found.ratio < 12


def test_the_interval_is_that_of_the_rounds() -> None:
    """By a simulation: in 200 measurements of a ratio of 1.05, about 95 % of intervals hold it."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        drift = np.exp(rng.normal(0, 0.3, 60))
        base = drift * np.exp(rng.normal(0, 0.03, 60))
        other = 1.05 * drift * np.exp(rng.normal(0, 0.03, 60))
        low, high = times(base, other).ratio_ci95
        held += low <= 1.05 <= high
    assert 180 <= held <= 199


def test_outliers_do_not_carry_the_ratio() -> None:
    assert times((1.0,) * 20, (1.1,) * 17 + (50.0,) * 3).ratio == pytest.approx(1.1)


def test_the_spread_is_that_of_the_times() -> None:
    """101 times of 0 to 100 ms: each percentile is its own number."""
    spread = times(range(1, 102), range(1, 102)).base
    assert (spread.q25_seconds, spread.median_seconds, spread.q75_seconds) == (26, 51, 76)
    assert (spread.p90_seconds, spread.p99_seconds) == (91, 100)


@pytest.mark.parametrize(
    ("ratio", "noise", "verdict"),
    [
        (1.1, 0.01, "slower"),
        (0.9, 0.01, "faster"),
        (1.0, 0.01, "no difference"),
        (1.0, 0.5, "inconclusive"),
    ],
)
def test_verdicts(ratio: float, noise: float, verdict: str) -> None:
    noisy = np.exp(np.random.default_rng(0).normal(0, noise, 50))
    # Half of the noise turned around, so that the mean is the ratio itself.
    symmetric = np.concatenate([noisy, 1 / noisy])
    found = times(np.ones(100), ratio * symmetric)
    assert found.verdict == verdict


def test_how_long_it_takes_to_tell() -> None:
    """An interval four times as wide as wanted takes sixteen times as long."""
    noisy = np.exp(np.random.default_rng(0).normal(0, 0.5, 100))
    found = times(np.ones(100), noisy, seconds=10)
    low, high = found.ratio_ci95
    assert found.seconds_to_tell == pytest.approx(10 * ((high - low) / 0.04) ** 2, abs=1)
    assert times(np.ones(100), np.ones(100)).seconds_to_tell == 10


def test_networks_are_left_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    network[0].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    setup = Setup(train=True, threads=2, memory_format="channels_last", dtype="bf16")
    measure(network, network, SHAPE, setup=setup, batch_size=2, min_seconds=0.01)
    assert [layer.training for layer in network] == [False, True, True]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.get_num_threads() == threads
    assert torch.equal(random, torch.get_rng_state())


class Seen(nn.Module):
    """Writes down how it is called."""

    calls: set[object] = set()  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "meta":
            is_last = x.is_contiguous(memory_format=torch.channels_last)
            modes = self.training, torch.is_grad_enabled(), torch.get_num_threads()
            Seen.calls.add((tuple(x.shape), x.dtype, is_last, *modes))
        return self.layer(x)


def test_networks_run_as_they_were_set_up() -> None:
    Seen.calls.clear()
    setup = Setup(threads=2, memory_format="channels_last", dtype="bf16")
    measure(Seen(), Seen(), SHAPE, setup=setup, batch_size=5, min_seconds=0.01)
    assert Seen.calls == {((5, *SHAPE), torch.bfloat16, True, False, False, 2)}
    Seen.calls.clear()
    measure(Seen(), Seen(), SHAPE, setup=Setup(threads=1, train=True), min_seconds=0.01)
    assert Seen.calls == {((1, *SHAPE), torch.float32, False, True, True, 1)}


def test_the_peak_of_memory_is_that_of_one_pass() -> None:
    """A product of two matrices of 1024: the input, the weights and the result, 4 MiB each."""
    found = measure(Work(1, 1024), Work(2, 1024), (1, 1024, 1024), min_seconds=0.01)
    assert found.base_peak_bytes == 3 * 2**22
    # The second product needs the result of the first.
    assert found.modified_peak_bytes == 4 * 2**22


@pytest.mark.parametrize(
    ("device", "said", "code"),
    [
        ("nothing", "unknown device 'nothing'; use cpu", 2),
        ("meta2", "unknown device 'meta2'; use cpu", 2),
        ("cuda:99", "device 'cuda:99' is not available", 3),
    ],
)
def test_a_device_that_is_not_there(device: str, said: str, code: int) -> None:
    with pytest.raises(BamctlError, match=said) as error:
        measure(Work(1), Work(1), SHAPE, setup=Setup(device=device))
    assert error.value.exit_code == code


def test_a_batch_that_does_not_fit() -> None:
    with pytest.raises(BamctlError, match=r"batch of 100000000 does not fit .* it takes") as error:
        measure(Work(1), Work(1), SHAPE, batch_size=100_000_000)
    assert error.value.exit_code == 3


def test_a_network_that_does_not_run_so() -> None:
    with pytest.raises(BamctlError, match="failed to run"):
        measure(Work(1, side=7), Work(1), SHAPE)


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (Setup(cuda_graph=True), "a CUDA graph requires a CUDA device, not cpu"),
        (Setup(fuse=True, train=True), "cannot be trained"),
    ],
)
def test_options_that_exclude_each_other(setup: Setup, words: str) -> None:
    with pytest.raises(BamctlError, match=words) as error:
        measure(Work(1), Work(1), SHAPE, setup=setup)
    assert error.value.exit_code == 2


needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device is here to measure on"
)


@needs_cuda
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_gpu_is_waited_for(cuda_graph: bool) -> None:
    setup = Setup(device="cuda", cuda_graph=cuda_graph)
    found = measure(Work(500), Work(1000), SHAPE, setup=setup, min_seconds=2)
    assert 1.5 < found.ratio < 2.5
    assert found.base_peak_bytes
    assert found.versions["cuda"] == torch.version.cuda


@needs_cuda
def test_a_batch_that_does_not_fit_a_gpu() -> None:
    with pytest.raises(BamctlError, match="does not fit in the memory of cuda"):
        measure(Work(1), Work(1), SHAPE, setup=Setup(device="cuda"), batch_size=50_000_000)
