"""Trunks that are a part of a network, each with the reason why a person would agree."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from bamctl import Placement, analyze, insert
from bamctl.networks import models
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk
from bamctl.trunk.cut_points import CutPoint, Trunk
from tests.builders import small_inputs, small_mvits
from tests.networks import Residual, Unseen


@cache
def trunk_of(name: str) -> Trunk:
    inputs = small_inputs(name)
    with small_mvits():
        model = models.build(name, inputs=inputs, initialize=False)
    return find_trunk(model, trace(model, inputs))


def names(points: tuple[CutPoint, ...]) -> list[str]:
    return [point.module for point in points]


BOTTLENECKS = {
    # The ResNet inside, as in classification: the pyramid and the heads come after it.
    "fasterrcnn_resnet50_fpn": [f"backbone.body.layer{i}" for i in (1, 2, 3)],
    "retinanet_resnet50_fpn_v2": [f"backbone.body.layer{i}" for i in (1, 2, 3)],
    "fcos_resnet50_fpn": [f"backbone.body.layer{i}" for i in (1, 2, 3)],
    # The three deepest of MobileNetV3: those that mobilenet_v3_large has as features.3, 6 and 12.
    "fasterrcnn_mobilenet_v3_large_fpn": [f"backbone.body.{i}" for i in (3, 6, 12)],
    # Strides 8 and 16 end in layers 6 and 12 as there. The extra levels halve the last stage of
    # the MobileNet, too: its last block, 80x10x10, becomes a bottleneck.
    "ssdlite320_mobilenet_v3_large": [
        "backbone.features.0.6",
        "backbone.features.0.12",
        "backbone.features.1.2",
    ],
    # VGG has no blocks, so the last map before a pooling counts: conv3_3 and conv4_3 with their
    # ReLU, at 75x75 and 38x38. At 19x19 the first extra level takes over from fc7, and the map
    # that it halves is its own 1x1 convolution's. Levels of 10x10 and less are for large objects.
    "ssd300_vgg16": ["backbone.features.15", "backbone.features", "backbone.extra.1.1"],
    # Dilation keeps stages 3 and 4 at the resolution of stage 2: one drop is left after a block.
    "deeplabv3_resnet50": ["backbone.layer1"],
    "fcn_resnet50": ["backbone.layer1"],
    # MobileNetV3 again, its last stage dilated.
    "lraspp_mobilenet_v3_large": ["backbone.1", "backbone.3", "backbone.6"],
    # As the ResNets for images; each of these stages halves height and width.
    "r3d_18": ["layer1", "layer2", "layer3"],
    "mc3_18": ["layer1", "layer2", "layer3"],
    # The inception blocks before the second and third pooling of space; the stem has none.
    "s3d": ["features.6", "features.12"],
    # As Swin for images: the stage before each patch merging.
    "swin3d_t": ["features.0", "features.2", "features.4"],
    # Queries are pooled in blocks 1, 3 and 14, so the blocks before these end a stage.
    "mvit_v2_s": ["blocks.0", "blocks.2", "blocks.13"],
    # Both encoders halve the map twice after a stage of residual blocks.
    "raft_large": [
        f"{encoder}_encoder.layer{i}" for encoder in ("feature", "context") for i in (1, 2)
    ],
}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_bottlenecks_a_person_would_agree_with(name: str) -> None:
    assert names(trunk_of(name).bottlenecks()) == BOTTLENECKS[name]


def test_a_head_of_maps_is_no_part_of_the_trunk() -> None:
    trunk = trunk_of("deeplabv3_resnet50")
    assert [part.module for part in trunk.parts] == ["backbone"]
    # ResNet50 has 3 + 4 + 6 + 3 blocks; the head's are none of them.
    assert len(trunk.blocks) == 16
    assert all(point.module.startswith("backbone.") for point in trunk.points)


def test_strides_are_of_the_part_s_own_input() -> None:
    points = trunk_of("fasterrcnn_resnet50_fpn").bottlenecks()
    assert [point.reduction for point in points] == [4, 8, 16]
    assert [point.map.height for point in points] == [32, 16, 8]


def test_optical_flow_runs_one_encoder_on_two_images() -> None:
    trunk = trunk_of("raft_small")
    assert [part.module for part in trunk.parts] == ["feature_encoder", "context_encoder"]
    assert [point.map.batch for point in trunk.bottlenecks()] == [2, 2, 1, 1]
    assert len(trunk.bottlenecks(1)) == 2


def test_extra_levels_are_named_as_such() -> None:
    stages = trunk_of("ssd300_vgg16").stages
    assert [stage.end.map.height for stage in stages] == [300, 150, 75, 38, 19, 10, 5, 3, 1]
    # Strides 60, 100 and 300; the stage at 10x10 halves to one of them.
    assert [stage.is_extra_level for stage in stages] == [False] * 5 + [True] * 4


def test_video_maps_have_frames() -> None:
    point = trunk_of("r3d_18").point("layer2")
    assert (point.map.layout.name, point.map.shape) == ("ncdhw", (128, 4, 16, 16))
    tokens = trunk_of("mvit_v2_s").point("blocks.13")
    # 4 frames in steps of two, 64x64 pixels in steps of 16, and a class token before them.
    assert tokens.map.shape == (1 + 2 * 4 * 4, 384)
    assert (tokens.map.extents, tokens.item) == ((2, 4, 4), 0)


class UNet(nn.Module):
    """Every stage of the way down is needed on the way up."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = Residual(3, 8, 2)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), Residual(8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), Residual(8))
        self.bottom = nn.Sequential(nn.MaxPool2d(2), Residual(8))
        self.up2, self.up1, self.up0 = (nn.Conv2d(16, 8, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first = self.entry(x)
        second = self.down1(first)
        third = self.down2(second)
        y = self.bottom(third)
        for up, skip in ((self.up2, third), (self.up1, second), (self.up0, first)):
            y = up(torch.cat((nn.functional.interpolate(y, scale_factor=2.0), skip), 1))
        return y


def test_the_way_down_is_the_trunk_of_a_network_that_skips_it() -> None:
    model = UNet()
    trunk = find_trunk(model, trace(model, (3, 64, 64)))
    assert names(trunk.bottlenecks()) == ["entry", "down1", "down2"]
    assert "up2" not in names(trunk.points)


class Wrapped(nn.Module):
    """A backbone with side outputs under another name, and a pyramid that adds them up."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = Stages()
        self.lateral = nn.ModuleList(nn.Conv2d(c, 4, 1) for c in (8, 16, 32))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = [conv(y) for conv, y in zip(self.lateral, self.eyes(x).values(), strict=True)]
        return self.head(sum(y.mean((2, 3)) for y in maps))


class Stages(Unseen):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.alpha(self.entry(x))
        middle = self.beta[1](self.beta[0](fine))
        return {"fine": fine, "middle": middle, "coarse": self.delta(self.gamma(middle))}


def test_a_backbone_with_side_outputs_is_found_under_any_name() -> None:
    model = Wrapped()
    trunk = find_trunk(model, trace(model, (3, 64, 64)))
    assert [part.module for part in trunk.parts] == ["eyes"]
    assert names(trunk.bottlenecks()) == ["eyes.alpha", "eyes.beta.1"]


class TwoEyes(nn.Module):
    """Colour and depth, each with a backbone of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.colour, self.depth = Unseen(), Unseen()
        self.colour.head = self.depth.head = nn.Identity()

    def forward(self, colour: Tensor, depth: Tensor) -> Tensor:
        return self.colour(colour) + self.depth(depth)


def test_two_backbones_are_two_parts() -> None:
    found = analyze(TwoEyes(), input_shape=[(3, 64, 64), (3, 64, 64)])
    modules = found.strategies["bottleneck"].modules
    assert modules == ["colour.alpha", "colour.beta.1", "depth.alpha", "depth.beta.1"]


class PerFrame(nn.Module):
    """Runs a network for images on every frame of a clip, as (N, T, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Unseen()

    def forward(self, clip: Tensor) -> Tensor:
        return self.net(clip.flatten(0, 1)).unflatten(0, clip.shape[:2]).mean(1)


def test_frames_that_are_images() -> None:
    model, clip = PerFrame().eval(), torch.randn(2, 5, 3, 32, 32)
    before = trace(model, (5, 3, 32, 32))
    insert(model, Placement(), input_shape=(5, 3, 32, 32))
    assert list(model.inserted) == ["net_alpha", "net_beta_1"]
    point = find_trunk(PerFrame(), before).point("net.alpha")
    assert (point.map.layout.name, point.map.batch) == ("nchw", 5)
    assert model(clip).shape == (2, 5)
