"""The kernels of a network, counted by hand."""

import pytest
import torch
from torch import Tensor, nn

from bamctl.networks import models
from bamctl.networks.inputs import read
from bamctl.timing._kernels import Kernel, lower
from bamctl.tracing.trace import trace


def kernels(network: nn.Module, shape: object, precision: str = "fp32") -> list[Kernel]:
    return list(lower(trace(network, shape), precision).kernels)


def memory(operator: str, activation_bytes: int = 0, weight_bytes: int = 0) -> Kernel:
    return Kernel("memory", operator, activation_bytes=activation_bytes, weight_bytes=weight_bytes)


class Layers(nn.Sequential):
    """A convolution of 3 to 8 channels on 16x16, and an activation."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())


GIVEN, RESULT, WEIGHTS = 3 * 16 * 16, 8 * 16 * 16, 8 * 3 * 9


def convolution(width: int) -> Kernel:
    return Kernel(
        "spatial",
        "convolution",
        macs=RESULT * 27,
        activation_bytes=width * (GIVEN + RESULT),
        weight_bytes=width * WEIGHTS,
        channels_in=3,
        channels_out=8,
        taps=9,
    )


def test_a_convolution_its_bias_and_its_activation() -> None:
    assert kernels(Layers(), (3, 16, 16)) == [
        convolution(4),
        memory("bias", 2 * 4 * RESULT),
        memory("relu", 2 * 4 * RESULT),
    ]


def test_autocast_casts_images_and_weights() -> None:
    assert kernels(Layers(), (3, 16, 16), "amp_fp16") == [
        memory("cast", (4 + 2) * GIVEN),
        memory("cast", weight_bytes=(4 + 2) * WEIGHTS),
        convolution(2),
        memory("bias", 2 * 2 * RESULT),
        memory("relu", 2 * 2 * RESULT),
    ]


def test_half_precision_casts_nothing() -> None:
    assert kernels(Layers(), (3, 16, 16), "bf16")[0] == convolution(2)


def test_autocast_normalises_layers_in_single_precision() -> None:
    network = nn.Sequential(nn.Linear(8, 8, bias=False), nn.LayerNorm(8))
    # The product leaves half precision, the norm reads and writes single.
    assert kernels(network, (8,), "amp_fp16")[-2:] == [
        memory("cast", (2 + 4) * 8),
        memory("layer_norm", 2 * 4 * 8),
    ]


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(8, 16, 1), "matmul"),
        (nn.Conv2d(8, 16, 3), "spatial"),
        (nn.Conv2d(8, 16, 3, groups=2), "grouped"),
        (nn.Conv2d(8, 8, 3, groups=8), "depthwise"),
        (nn.ConvTranspose2d(8, 16, 3), "spatial"),
    ],
)
def test_kinds_of_convolution(layer: nn.Module, kind: str) -> None:
    traced = trace(layer, (8, 12, 12))
    first = lower(traced, "fp32").kernels[0]
    assert (first.kind, first.macs) == (kind, traced.macs[""])


class Turned(nn.Module):
    """Views of a map, some of which must be copied to be viewed again."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        ways = {
            "viewed": lambda: x.flatten(1),
            "turned": lambda: x.permute(0, 2, 3, 1),
            "copied": lambda: x.permute(0, 2, 3, 1).contiguous(),
            "joined": lambda: torch.cat([x, x], 1),
        }
        return ways[self.how]()


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ("viewed", []),
        ("turned", []),
        # It reads and writes 4 x 5 x 6 numbers of four bytes.
        ("copied", [memory("contiguous", 2 * 4 * 120)]),
        # One map is read, though twice, and two are written.
        ("joined", [memory("cat", 3 * 4 * 120)]),
    ],
)
def test_views_cost_nothing_and_copies_do(how: str, found: list[Kernel]) -> None:
    assert kernels(Turned(how), (4, 5, 6)) == found


def test_dropout_is_nothing_in_eval_mode() -> None:
    assert kernels(nn.Sequential(nn.Dropout(), nn.Identity()), (4,)) == []


def test_a_batch_reads_its_weights_once() -> None:
    once = convolution(4)
    eight = once.times(8)
    assert (eight.macs, eight.activation_bytes) == (8 * once.macs, 8 * once.activation_bytes)
    assert eight.weight_bytes == once.weight_bytes


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("resnet18", 64),
        ("resnext50_32x4d", 64),
        ("mobilenet_v2", 64),
        ("densenet121", 64),
        ("shufflenet_v2_x1_0", 64),
        ("regnet_y_400mf", 64),
        ("convnext_tiny", 64),
        ("swin_t", 224),
        ("vit_b_16", 224),
        ("efficientnet_b0", 64),
    ],
)
def test_no_multiply_add_is_lost(name: str, side: int) -> None:
    given = read((3, side, side))
    traced = trace(models.build(name, inputs=given, initialize=False), given)
    assert sum(kernel.macs for kernel in lower(traced, "fp32").kernels) == traced.macs[""]
