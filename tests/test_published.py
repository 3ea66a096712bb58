"""The figures that the paper prints, and the points where a person would put the module."""

import pytest

from bamctl import Placement, analyze
from bamctl.placement import shipped
from bamctl.placement.cost import PlacementCost, place
from bamctl.trunk.traced import TracedNetwork

# Park et al., "BAM: Bottleneck Attention Module", BMVC 2018, table 3: ImageNet, in millions.
IMAGENET_PARAMS = {
    "resnet18": (11.69, 11.71),
    "resnet50": (25.56, 25.92),
    "resnet101": (44.55, 44.91),
    "resnext50_32x4d": (25.03, 25.39),
    "squeezenet1_1": (1.24, 1.26),
}
# The same table, multiply-adds in 1e9. Its ResNets stride in another convolution than those of
# torchvision, so that only what BAM adds can be compared.
IMAGENET_ADDED_GMACS = {"resnet18": 0.01, "resnet50": 0.08, "resnet101": 0.08}
# Table 1: ResNet50 on CIFAR-100, three BAMs, by reduction ratio; tables 2 and 3 print 23.71 for
# the network without any.
CIFAR_BASE = 23.71
CIFAR_REDUCTION = {4: 26.30, 8: 24.62, 16: 24.07, 32: 23.87}
# By hand: torchvision's 44,549,160 less 1000 classes of 2049 and a 7x7 stem, plus 100 and a 3x3.
RESNET101_CIFAR = 44_549_160 - 900 * 2049 - 64 * 3 * (49 - 9)

POINTS = {
    "resnet50": [("layer1", 256, 56), ("layer2", 512, 28), ("layer3", 1024, 14)],
    "densenet121": [
        ("features.denseblock1", 256, 56),
        ("features.denseblock2", 512, 28),
        ("features.denseblock3", 1024, 14),
    ],
    "mobilenet_v2": [("features.3", 24, 56), ("features.6", 32, 28), ("features.13", 96, 14)],
    "squeezenet1_1": [("features.4", 128, 55), ("features.7", 256, 27)],
    "vgg16": [("features.15", 256, 56), ("features.22", 512, 28), ("features.29", 512, 14)],
    "efficientnet_b0": [("features.2", 24, 56), ("features.3", 40, 28), ("features.5", 112, 14)],
    "swin_t": [("features.1", 96, 56), ("features.3", 192, 28), ("features.5", 384, 14)],
    "vit_b_16": [],
    # By the same definitions, read off torchvision's source by hand.
    "googlenet": [("inception3b", 480, 28), ("inception4e", 832, 14)],
    "shufflenet_v2_x1_0": [("stage2", 116, 28), ("stage3", 232, 14)],
    "alexnet": [("features.1", 64, 55), ("features.4", 192, 27), ("features.11", 256, 13)],
    "convnext_tiny": [("features.1", 96, 56), ("features.3", 192, 28), ("features.5", 384, 14)],
    "mnasnet1_0": [("layers.8", 24, 56), ("layers.9", 40, 28), ("layers.11", 96, 14)],
}
BLOCKS = {
    "resnet50": 16,
    "resnet18": 8,
    "mobilenet_v2": 17,
    "efficientnet_b0": 16,
    "swin_t": 12,
    "vit_b_16": 12,
    "googlenet": 9,
    "shufflenet_v2_x1_0": 16,
    "squeezenet1_1": 8,
    "convnext_tiny": 18,
    "densenet121": 4,
}


def millions(count: int) -> float:
    return round(count / 1e6, 2)


def price(name: str, where: Placement) -> tuple[int, PlacementCost]:
    traced = TracedNetwork.load(where.model_copy(update={"model": name}))
    return traced.trace.params, place(where, traced)


@pytest.mark.parametrize("name", IMAGENET_PARAMS)
def test_parameters_on_imagenet(name: str) -> None:
    base, with_bam = IMAGENET_PARAMS[name]
    params, placed = price(name, Placement())
    assert millions(params) == base
    assert millions(params + placed.total.params) == with_bam


@pytest.mark.parametrize("name", IMAGENET_ADDED_GMACS)
def test_added_macs_on_imagenet(name: str) -> None:
    _, placed = price(name, Placement())
    assert round(placed.total.macs / 1e9, 2) == IMAGENET_ADDED_GMACS[name]


@pytest.mark.parametrize("reduction", CIFAR_REDUCTION)
def test_parameters_of_resnet50_with_100_classes(reduction: int) -> None:
    """Every printed digit, with a first convolution of 7x7, which the paper seems to have kept."""
    params, placed = price(
        "resnet50", Placement(num_classes=100, attention={"reduction": reduction})
    )
    assert millions(params) == CIFAR_BASE
    assert millions(params + placed.total.params) == CIFAR_REDUCTION[reduction]


@pytest.mark.parametrize("reduction", CIFAR_REDUCTION)
def test_parameters_of_resnet50_with_100_classes_and_the_small_stem(reduction: int) -> None:
    """The 3x3 stem has 7,680 parameters less, which costs a last digit where the sum is near it."""
    params, placed = price("resnet50", shipped.find(f"paper/reduction-{reduction}"))
    assert millions(params) == CIFAR_BASE
    added = placed.total.params
    assert added == by_hand(reduction)
    assert millions(added) == pytest.approx(CIFAR_REDUCTION[reduction] - CIFAR_BASE)
    assert millions(params + 7_680 + added) == CIFAR_REDUCTION[reduction]
    if reduction == 16:
        assert millions(params + added) == CIFAR_REDUCTION[reduction]


@pytest.mark.parametrize("reduction", [4, 8, 16])
def test_parameters_of_resnet101_with_100_classes_and_the_small_stem(reduction: int) -> None:
    """42.70 M and with r = 16 43.06 M."""
    small = Placement(
        input="3x32x32", num_classes=100, stem="small", attention={"reduction": reduction}
    )
    params, placed = price("resnet101", small)
    assert params == RESNET101_CIFAR
    assert millions(params) == 42.70
    assert placed.total.params == by_hand(reduction)
    if reduction == 16:
        assert millions(params + placed.total.params) == 43.06


def by_hand(reduction: int) -> int:
    """Linear, convolution and batch-norm parameters of BAM at 256, 512 and 1024 channels."""
    total = 0
    for channels in (256, 512, 1024):
        hidden = channels // reduction
        total += channels * hidden + hidden + hidden * channels + channels + 2 * channels
        total += channels * hidden + hidden + 2 * (9 * hidden * hidden + hidden) + hidden + 1 + 2
    return total


@pytest.mark.parametrize("name", POINTS)
def test_bottlenecks(name: str) -> None:
    trunk = analyze(name, input_shape=(3, 224, 224)).trunk
    found = [(p.module, p.map.num_channels, p.map.height) for p in trunk.bottlenecks()]
    assert found == POINTS[name]


@pytest.mark.parametrize("name", BLOCKS)
def test_number_of_blocks(name: str) -> None:
    assert len(analyze(name, input_shape=(3, 224, 224)).trunk.blocks) == BLOCKS[name]


def test_transitions_and_stems_are_no_blocks() -> None:
    trunk = analyze("densenet121", input_shape=(3, 224, 224)).trunk
    assert [stage.is_stem for stage in trunk.stages] == [True, False, False, False, False]
    assert [point.module for point in trunk.blocks] == [
        f"features.denseblock{number}" for number in (1, 2, 3, 4)
    ]


def test_inception_trims_pixels_without_starting_stages() -> None:
    trunk = analyze("inception_v3").trunk
    assert [(stage.points[0].map.height, stage.end.map.height) for stage in trunk.stages] == [
        (149, 147),
        (73, 71),
        (35, 35),
        (17, 17),
        (8, 8),
    ]
