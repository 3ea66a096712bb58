"""Times of kernels, worked out by hand, and how estimates behave."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from bamctl import Placement
from bamctl.budgets.figures import price
from bamctl.networks import models
from bamctl.networks.inputs import read
from bamctl.timing._estimate import Balance, Device, KernelTable
from bamctl.timing._kernels import Kernel
from bamctl.timing.hardware import Coefficients, Hardware
from bamctl.timing.placed import Estimator
from bamctl.timing.profiles import find, shipped_names
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
    floor_us=10,
    launch_us=20,
)


def seconds(
    kernel: Kernel,
    batch_size: int = 1,
    memory_format: str = "channels_last",
    hardware: Hardware = HARDWARE,
    **changed: float,
) -> float:
    device = Device(hardware, COEFFICIENTS.model_copy(update=changed), memory_format)
    (found,) = KernelTable([kernel]).work_seconds(device, batch_size)
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
        # 16 channels have a tile of 32, half of which is used.
        (
            Kernel("matmul", "", macs=10**9, channels_in=96, channels_out=16),
            0.001 / (0.5 * 0.75 * 16 / 48 * 0.5**0.5),
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


PRODUCT = {"macs": 3 * 10**9, "channels_in": 96, "channels_out": 128}


def test_convolutions_are_bound_by_multiprocessors_as_well() -> None:
    # 15.625 · 10^9 cycles a second of 256 multiply-adds are 8 TFLOPS; with 2 of the matrix units,
    # the geometric mean is 4. Products of linear layers have the matrix units alone.
    hardware = HARDWARE.model_copy(update={"multiprocessor_ghz": 15.625})
    wide = {**PRODUCT, "channels_in": 2**20, "channels_out": 2**20}
    for kind, factor in (("spatial", 2), ("grouped", 2), ("matmul", 1)):
        alone = seconds(Kernel(kind, "", **wide), hardware=hardware)
        assert seconds(Kernel(kind, "", **wide), hardware=hardware, issue=0.5) == pytest.approx(
            alone / factor, rel=1e-6
        )


def test_without_their_number_multiprocessors_have_128_lanes() -> None:
    # 1 TFLOPS of vector units is 2 of 256 multiply-adds a cycle, as many as the matrix units have.
    kernel = Kernel("spatial", "", **PRODUCT)
    assert seconds(kernel, issue=0.5) == pytest.approx(seconds(kernel), rel=1e-6)


def test_a_power_limit_bounds_products() -> None:
    # 2 TFLOPS by units, and 2 by power: together the fourth root of two less.
    hardware = HARDWARE.model_copy(update={"power_watts": 4})
    kernel = Kernel("matmul", "", **PRODUCT)
    limited = seconds(kernel, hardware=hardware, watt_tflops=0.5)
    assert limited == pytest.approx(0.01 * 2**0.25, rel=1e-3)
    assert seconds(Kernel("memory", "", activation_bytes=10**9), hardware=hardware) == (
        pytest.approx(0.02, rel=1e-3)
    )


@pytest.mark.parametrize(
    ("kind", "operator", "copies"),
    [
        ("spatial", "convolution", 0.5),
        ("grouped", "convolution", 0.5),
        ("matmul", "convolution", 0.25),
        ("depthwise", "convolution", 0.125),
        ("matmul", "linear", 0),
    ],
)
def test_contiguous_maps_are_copied_for_a_convolution(
    kind: str, operator: str, copies: float
) -> None:
    shares = {"layout": 0.5, "layout_pointwise": 0.25, "layout_depthwise": 0.125}
    kernel = Kernel(kind, operator, activation_bytes=10**9)
    last = seconds(kernel, **shares)
    assert last == pytest.approx(0.02, rel=1e-3)
    # Each copy reads and writes what the convolution does.
    found = seconds(kernel, memory_format="contiguous", **shares)
    assert found == pytest.approx(0.02 * (1 + 2 * copies), rel=1e-3)


def test_linear_layers_may_have_a_peak_of_their_own() -> None:
    hardware = HARDWARE.model_copy(update={"linear_tflops": 1})
    assert seconds(Kernel("matmul", "linear", **PRODUCT), hardware=hardware) == (
        pytest.approx(0.02, rel=1e-3)
    )
    assert seconds(Kernel("matmul", "convolution", **PRODUCT), hardware=hardware) == (
        pytest.approx(0.01, rel=1e-3)
    )


def test_launches_go_on_while_the_device_works() -> None:
    device = Device(HARDWARE, COEFFICIENTS, "channels_last")
    # 20 us to launch each of two kernels, of which one takes 40 us: the norm of 40 and 50.
    table = KernelTable([Kernel("memory", "", activation_bytes=2 * 10**6), Kernel("memory", "")])
    whole = (40**4 + 50**4) ** 0.25 * 1e-6
    assert table.seconds(device, 1).sum() == pytest.approx(whole, rel=1e-2)
    # What is added to a network that waits for its launches costs their time, and hardly its own.
    waiting = Balance.of(1e-6, 1e-3)
    assert table.seconds(device, 1, waiting).sum() == pytest.approx(40e-6, rel=1e-3)
    working = Balance.of(1e-3, 1e-6)
    assert table.seconds(device, 1, working).sum() == pytest.approx(50e-6, rel=1e-2)


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
    # What is added costs a little less where launches begin to hide behind the network's work.
    assert np.all(np.diff([each.modified_seconds for each in batches]) > 0)
    assert np.all(np.diff([each.base_seconds for each in batches]) > 0)
    assert batches[-1].added_seconds > batches[0].added_seconds

    shares = [each.launch_fraction for each in batches]
    assert shares[0] > 0.7, "launches dominate at batch 1"
    assert np.all(np.diff(shares) <= 0)

    found = estimator.estimate(sites, 64, intervals=True).intervals
    for (low, high), value in (
        (found.base_seconds, large.base_seconds),
        (found.modified_seconds, large.modified_seconds),
        (found.ratio, large.ratio),
    ):
        assert low < value < high
    wide, narrow = (high / low for low, high in (found.base_seconds, found.ratio))
    assert narrow**2 < wide, "what the device is off by cancels in the ratio"


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


@pytest.fixture(scope="module")
def traces() -> dict[str, tuple[object, object]]:
    found = {}
    for name, (side, _) in {**UNSEEN, **CONTIGUOUS}.items():
        given = read((3, side, side))
        network = models.build(name, inputs=given, initialize=False)
        found[name] = (network, trace(network, given))
    return found


def test_networks_that_were_not_in_the_fit(traces: dict[str, tuple[object, object]]) -> None:
    published, estimated, held = [], [], 0
    for name, (_, rate) in UNSEEN.items():
        estimator = Estimator(*traces[name], find("rtx4090"))
        found = estimator.estimate((), 512, intervals=True)
        published.append(512 / rate)
        estimated.append(found.base_seconds)
        low, high = found.intervals.base_seconds
        held += low <= 512 / rate <= high
    errors = np.abs(np.array(estimated) / published - 1)
    assert errors.mean() < 0.07
    assert errors.max() < 0.2
    assert spearmanr(estimated, published).statistic > 0.95
    assert held >= 8


# Contiguous, batch 1024, of the device that was fitted with channels last only (timm's results/
# benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv, revision 5c33776).
CONTIGUOUS = {
    "resnet18": (224, 13537.15),
    "resnet34": (224, 8192.41),
    "mobilenet_v3_small": (224, 43953.49),
    "mobilenet_v3_large": (224, 14191.17),
    "mnasnet1_0": (224, 12674.12),
    "efficientnet_b0": (224, 8926.12),
    "vit_b_32": (224, 10112.91),
    "regnet_y_400mf": (224, 13238.44),
}


def test_a_memory_format_that_the_device_was_not_fitted_with(
    traces: dict[str, tuple[object, object]],
) -> None:
    errors = []
    for name, (_, rate) in CONTIGUOUS.items():
        profile = find("rtx4090", memory_format="contiguous")
        found = Estimator(*traces[name], profile).estimate((), 1024)
        errors.append(abs(found.base_seconds * rate / 1024 - 1))
    assert np.mean(errors) < 0.08


# Images a second without and with squeeze-and-excitation in every block, of two devices in the
# memory formats of their profiles (timm's results, revisions 7479d45 and 90cae8c).
WITH_SE = {
    ("rtx4090", "resnet18", 512): (18247.43, 16704.11),
    ("rtx4090", "resnet34", 512): (11246.05, 10212.95),
    ("rtx5090", "resnet18", 1024): (19878.70, 18672.40),
    ("rtx5090", "resnet34", 1024): (12206.42, 11364.36),
}


@pytest.mark.parametrize(("device", "model", "batch_size"), WITH_SE)
def test_the_published_cost_of_attention(device: str, model: str, batch_size: int) -> None:
    without, with_se = WITH_SE[device, model, batch_size]
    placement = Placement(model=model, where="branch", attention={"module": "se"})
    found = price(TracedNetwork.load(placement), placement)
    estimator = Estimator(found.subject.network, found.subject.trace, find(device))
    estimate = estimator.estimate(found.placed.sites, batch_size, intervals=True)
    low, high = estimate.intervals.ratio
    assert low <= without / with_se <= high
    assert high / low < 1.1
