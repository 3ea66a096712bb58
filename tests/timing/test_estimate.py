"""Times of kernels, worked out by hand, and how estimates behave."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from bamctl import Placement
from bamctl.budgets.figures import price
from bamctl.networks import models
from bamctl.networks.inputs import read
from bamctl.timing._estimate import KernelTable
from bamctl.timing._kernels import Kernel
from bamctl.timing.placed import Estimator
from bamctl.timing.profiles import Coefficients, Hardware, find, shipped_names
from bamctl.tracing.trace import trace
from bamctl.trunk.traced import TracedNetwork

# 10^12 multiply-adds a second in products, half of that elsewhere, and hardly any cache.
HARDWARE = Hardware(matrix_tflops=2, vector_tflops=1, bandwidth_gbps=100, cache_mb=0.001)
COEFFICIENTS = Coefficients(
    matmul=0.5,
    spatial=0.8,
    grouped=0.5,
    depthwise=0.1,
    attention=0.25,
    matmul_width=32,
    spatial_width=32,
    grouped_width=32,
    grouped_alignment=1,
    bandwidth=0.5,
    cache_speedup=2,
    launch_us=10,
)


def seconds(kernel: Kernel, batch_size: int = 1, hardware: Hardware = HARDWARE) -> float:
    (found,) = KernelTable([kernel]).seconds(hardware, COEFFICIENTS, batch_size)
    return float(found)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        # 10^12 · 0.5 · 96/(96+32) · 128/(128+32) = 3 · 10^11 a second.
        (Kernel("matmul", "", macs=3 * 10**9, channels_in=96, channels_out=128), 0.01),
        # A kernel of nine positions is as deep as nine times the channels: 288/320 · 96/128, and
        # of the tile of 128 only 96 are used, of which half is felt: the root of 3/4.
        (
            Kernel("spatial", "", macs=10**10, channels_in=32, channels_out=96, taps=9),
            0.01 / (0.8 * 0.9 * 0.75 * 0.75**0.5),
        ),
        # 12 channels of a group are done as 16.
        (
            Kernel("grouped", "", macs=10**10, channels_in=32, channels_out=12),
            0.01 / (0.5 * 0.5 * 12 / 44 * 12 / 16),
        ),
        (Kernel("depthwise", "", macs=10**9, channels_in=1, channels_out=1, taps=9), 0.02),
        (
            Kernel("attention", "", macs=10**9, channels_in=32, channels_out=32),
            0.001 / (0.25 * 0.5 * 0.5),
        ),
        # Half of 10^11 bytes a second.
        (Kernel("memory", "", activation_bytes=10**9), 0.02),
        (Kernel("memory", "", weight_bytes=10**9), 0.02),
        (Kernel("memory", ""), 1e-5),
    ],
)
def test_one_limit_alone(kernel: Kernel, expected: float) -> None:
    assert seconds(kernel) == pytest.approx(expected, rel=1e-3)


def test_two_limits_as_large_add_up_to_the_cube_root_of_two() -> None:
    kernel = Kernel(
        "matmul", "", macs=3 * 10**9, channels_in=96, channels_out=128, activation_bytes=5 * 10**8
    )
    assert seconds(kernel) == pytest.approx(0.01 * 2 ** (1 / 3), rel=1e-3)


def test_what_fits_in_the_cache_is_faster() -> None:
    large = HARDWARE.model_copy(update={"cache_mb": 1e6})
    kernel = Kernel("memory", "", activation_bytes=10**9)
    assert seconds(kernel, hardware=large) == pytest.approx(0.01, rel=1e-3)


def test_weights_are_read_once_for_a_batch() -> None:
    kernel = Kernel("memory", "", activation_bytes=10**8, weight_bytes=10**8)
    assert seconds(kernel, batch_size=9) == pytest.approx(0.02, rel=1e-3)


@pytest.fixture(scope="module")
def priced() -> object:
    placement = Placement(model="resnet50", where="bottleneck")
    return price(TracedNetwork.load(placement), placement)


@pytest.mark.parametrize("device", shipped_names())
def test_what_attention_adds(priced: object, device: str) -> None:
    subject, sites = priced.subject, priced.placed.sites
    estimator = Estimator(subject.network, subject.trace, find(device))

    few = [estimator.estimate(sites[:count], 64).modified_seconds for count in range(4)]
    assert np.all(np.diff(few) > 0), "more sites cost more"

    large = estimator.estimate(sites, 64)
    assert np.all(np.diff(list(large.sites.values())) < 0), "later sites cost less"
    assert few[3] == large.modified_seconds
    assert sum(large.added_kinds.values()) == pytest.approx(
        large.modified_seconds - large.base_seconds
    )
    assert sum(large.base_kinds.values()) == pytest.approx(large.base_seconds)

    batches = [estimator.estimate(sites, size) for size in (1, 2, 8, 64, 512)]
    added = [each.modified_seconds - each.base_seconds for each in batches]
    assert np.all(np.diff(added) >= 0), "a bigger batch costs no less"
    assert np.all(np.diff([each.base_seconds for each in batches]) > 0)

    shares = [each.launch_fraction for each in batches]
    assert shares[0] > 0.9, "launches dominate at batch 1"
    assert np.all(np.diff(shares) <= 0)


def test_nothing_added_costs_nothing(priced: object) -> None:
    subject = priced.subject
    found = Estimator(subject.network, subject.trace, find("rtx4090")).estimate((), 8)
    assert (found.ratio, found.launch_fraction, found.num_added_kernels) == (1, 0, 0)


# Images a second of networks that no profile was fitted on, with automatic mixed precision,
# channels last, batch 512, as published by timm (results/benchmark-infer-amp-nhwc-pt240-cu124-
# rtx4090.csv, revision 7479d45).
UNSEEN = {
    "resnet50": (224, 5088.39),
    "resnet152": (224, 2347.77),
    "densenet121": (224, 3896.08),
    "convnext_tiny": (224, 4844.53),
    "vit_b_16": (224, 2843.00),
    "regnet_x_8gf": (224, 3273.20),
    "vgg19_bn": (224, 2133.62),
    "inception_v3": (299, 4356.90),
    "mnasnet0_75": (224, 17012.70),
}


def test_networks_that_were_not_in_the_fit() -> None:
    published, estimated = [], []
    for name, (side, rate) in UNSEEN.items():
        given = read((3, side, side))
        network = models.build(name, inputs=given, initialize=False)
        found = Estimator(network, trace(network, given), find("rtx4090")).estimate((), 512)
        published.append(512 / rate)
        estimated.append(found.base_seconds)
    errors = np.abs(np.array(estimated) / published - 1)
    assert errors.mean() < 0.08
    assert errors.max() < 0.2
    assert spearmanr(estimated, published).statistic > 0.95
