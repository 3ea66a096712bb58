"""The ends of residual branches, and the levels of pyramids."""

from collections.abc import Callable

import pytest
import timm
import torch
from pytorchcv.model_provider import get_model
from torch import Tensor, nn

from bamctl import Placement, insert
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.cost import place
from bamctl.placement.sites import left_out
from bamctl.trunk.traced import TracedNetwork
from tests.networks import Residual, Unseen

NO_SUM = "no sum of two maps at its end"
NO_MODULE = "no module returns the end of the branch as a feature map"
# The block, the module behind which its branch ends, or why it has none.
BRANCHES = [
    # The third norm; the shortcut of the first block of a stage has one layer, the branch three.
    ("resnet50", (3, 64, 64), {"layer1.0": "layer1.0.bn3", "layer2.3": "layer2.3.bn3"}),
    ("resnext50_32x4d", (3, 64, 64), {"layer4.0": "layer4.0.bn3"}),
    # No shortcut where the resolution or the width changes.
    ("mobilenet_v2", (3, 64, 64), {"features.2": NO_SUM, "features.3": "features.3.conv"}),
    # `block` ends with the projection; stochastic depth and the sum follow in `forward`.
    ("mobilenet_v3_small", (3, 64, 64), {"features.1": NO_SUM, "features.3": "features.3.block"}),
    (
        "efficientnet_b0",
        (3, 64, 64),
        {"features.2.0": NO_SUM, "features.2.1": "features.2.1.block"},
    ),
    # Before the layer scale.
    ("convnext_tiny", (3, 64, 64), {"features.1.0": "features.1.0.block"}),
    # The second of two sums makes the output of a block: that of the MLP.
    ("swin_t", (3, 64, 64), {"features.1.0": "features.1.0.mlp"}),
    (
        "vit_b_16",
        (3, 224, 224),
        {"encoder.layers.encoder_layer_0": "encoder.layers.encoder_layer_0.mlp"},
    ),
    # In the second version the norm is behind the MLP, and in front of the sum.
    ("swin_v2_t", (3, 64, 64), {"features.1.0": "features.1.0.norm2"}),
    (
        "regnet_y_400mf",
        (3, 64, 64),
        {"trunk_output.block2.block2-0": "trunk_output.block2.block2-0.f"},
    ),
    # Both join their halves by concatenation.
    ("shufflenet_v2_x0_5", (3, 64, 64), {"stage2.0": NO_SUM, "stage2.1": NO_SUM}),
    ("densenet121", (3, 64, 64), {"features.denseblock1": NO_SUM}),
    # A partition attention adds windows, not maps, before it joins them.
    (
        "maxvit_t",
        (3, 224, 224),
        {
            "blocks.0.layers.0.layers.MBconv": "blocks.0.layers.0.layers.MBconv.layers",
            "blocks.0.layers.0.layers.window_attention": NO_MODULE,
        },
    ),
    # The convolution and its norm are one module.
    ("r3d_18", (3, 4, 32, 32), {"layer1.0": "layer1.0.conv2", "layer2.0": "layer2.0.conv2"}),
    (
        "fasterrcnn_resnet50_fpn",
        (3, 64, 64),
        {"backbone.body.layer1.0": "backbone.body.layer1.0.bn3"},
    ),
    ("fcn_resnet50", (3, 64, 64), {"backbone.layer4.2": "backbone.layer4.2.bn3"}),
]


def traced(name: str, shape: tuple[int, ...]) -> TracedNetwork:
    text = "x".join(map(str, shape))
    return TracedNetwork.load(NetworkSpec.model_validate({"model": name, "input": text}))


@pytest.mark.parametrize(("name", "shape", "expected"), BRANCHES, ids=lambda each: str(each)[:24])
def test_branches_end_where_a_person_would_say(
    name: str, shape: tuple[int, ...], expected: dict[str, str]
) -> None:
    trunk = traced(name, shape).trunk
    ends = {point.module for point in trunk.branches}
    for block, end in expected.items():
        if end in (NO_SUM, NO_MODULE):
            assert trunk.without_branch[block] == end
        else:
            assert end in ends
            assert block not in trunk.without_branch
    assert len(trunk.branches) + len(trunk.without_branch) == len(trunk.blocks)


class Scaled(nn.Module):
    """A block with a parameter on its branch, in front of which the branch ends."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.gamma = nn.Parameter(torch.full((channels, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.gamma * self.second(torch.relu(self.first(x))))


class Inline(Scaled):
    """A block whose branch ends with a function, so that no module returns it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.second(torch.relu(self.first(x))))


class Even(Scaled):
    """A block whose branches are equally long."""

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


class Single(nn.Module):
    def __init__(self, block: type[Scaled]) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 8, 3, 2, 1)
        self.body = block(8)
        self.down = nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.down(self.body(self.entry(x))).mean((2, 3)))


def test_branches_of_blocks_that_nobody_knows() -> None:
    found = {
        each: TracedNetwork.of(Single(each), (3, 32, 32)).trunk for each in (Scaled, Inline, Even)
    }
    assert [point.module for point in found[Scaled].branches] == ["body.second"]
    assert found[Inline].without_branch == {"body": NO_MODULE}
    even = "both operands of the sum are equally far from the input"
    assert found[Even].without_branch == {"body": even}
    said = left_out(Placement(where="branch"), found[Even])
    assert said == [f"No residual branch is found in body: {even}"]


def test_se_at_branches_is_se_resnet_50() -> None:
    """2 C h weights and h + C biases for C channels and h = C / 16, in each of 16 blocks."""
    resnet = traced("resnet50", (3, 224, 224))
    added = place(Placement(where="branch", attention={"module": "se"}), resnet).total.params
    by_hand = sum(
        number * (2 * width * width // 16 + width // 16 + width)
        for number, width in ((3, 256), (4, 512), (6, 1024), (3, 2048))
    )
    # The paper's table 2 prints 28.1 M for SE-ResNet-50 and 25.6 M without.
    assert added == by_hand == 2_530_992
    sizes = [num_params(timm.create_model(name)) for name in ("seresnet50", "resnet50")]
    assert added == sizes[0] - sizes[1]


def test_cbam_at_branches_is_cbam_resnet_50() -> None:
    """pytorchcv is an implementation of others, with biases in the shared layers."""
    resnet = traced("resnet50", (3, 224, 224))
    wanted = {"module": "cbam", "args": {"mlp_bias": True}}
    added = place(Placement(where="branch", attention=wanted), resnet).total.params
    sizes = [num_params(get_model(name)) for name in ("cbam_resnet50", "resnet50")]
    assert added == sizes[0] - sizes[1]


def num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_attention_on_a_branch_is_what_the_block_adds() -> None:
    torch.manual_seed(0)
    model, x = Unseen().eval(), torch.rand(2, 3, 32, 32)
    insert(model, {"where": "branch", "attention": {"module": "se"}}, input_shape=(3, 32, 32))
    assert list(model.inserted) == [
        f"{block}_conv2" for block in ("alpha_0", "alpha_1", "beta_0", "beta_1", "gamma", "delta")
    ]
    model(x).square().mean().backward()
    block, gate = model.delta, model.inserted["delta_conv2"]
    maps = torch.rand(1, 32, 4, 4)
    plain = nn.functional.conv2d(
        block.act(block.conv1(maps)), block.conv2.weight, block.conv2.bias, padding=1
    )
    torch.testing.assert_close(block(maps), torch.relu(maps + gate(plain)))


LEVELS = [
    # P2 to P5, deepest first, as the network computes them; the fifth is P5 pooled, which no
    # module returns alone.
    ("fasterrcnn_resnet50_fpn", [f"backbone.fpn.layer_blocks.{i}" for i in (3, 2, 1, 0)]),
    (
        "retinanet_resnet50_fpn",
        [
            *(f"backbone.fpn.layer_blocks.{i}" for i in (2, 1, 0)),
            "backbone.fpn.extra_blocks.p6",
            "backbone.fpn.extra_blocks.p7",
        ],
    ),
    (
        "fcos_resnet50_fpn",
        [
            *(f"backbone.fpn.layer_blocks.{i}" for i in (2, 1, 0)),
            "backbone.fpn.extra_blocks.p6",
            "backbone.fpn.extra_blocks.p7",
        ],
    ),
    # The first level is scaled and normalized in `forward` of the backbone.
    ("ssd300_vgg16", [f"backbone.extra.{i}" for i in range(5)]),
    (
        "ssdlite320_mobilenet_v3_large",
        ["backbone.features.0", "backbone.features.1", *(f"backbone.extra.{i}" for i in range(4))],
    ),
]


@pytest.mark.parametrize(("name", "expected"), LEVELS)
def test_levels_are_what_the_heads_read(name: str, expected: list[str]) -> None:
    size = 320 if name.startswith("ssd") else 128
    trunk = traced(name, (3, size, size)).trunk
    assert [point.module for point in trunk.levels] == expected


class Neck(nn.Module):
    """A path-aggregation neck (Liu et al., CVPR 2018): top-down sums, then bottom-up ones."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, 16, 1) for c in (8, 16, 32))
        self.down = nn.ModuleList(nn.Conv2d(16, 16, 3, 2, 1) for _ in range(2))
        self.out = nn.ModuleList(Residual(16) for _ in range(3))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        c3, c4, c5 = (conv(x) for conv, x in zip(self.lateral, maps, strict=True))
        c4 = c4 + nn.functional.interpolate(c5, scale_factor=2.0)
        p3 = self.out[0](c3 + nn.functional.interpolate(c4, scale_factor=2.0))
        p4 = self.out[1](c4 + self.down[0](p3))
        return [p3, p4, self.out[2](c5 + self.down[1](p4))]


class Detector(nn.Module):
    """A backbone and a path-aggregation neck; subclasses differ in their heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.stages = nn.ModuleList([Residual(8), Residual(8, 16, 2), Residual(16, 32, 2)])
        self.neck = Neck()
        self.make_head()

    def make_head(self) -> None:
        self.heads = nn.ModuleList(nn.Conv2d(16, 7, 1) for _ in range(3))

    def predictions(self, maps: list[Tensor]) -> list[Tensor]:
        return [head(x) for head, x in zip(self.heads, maps, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return torch.cat([each.flatten(2) for each in self.predictions(self.neck(maps))], 2)


class SharedHead(Detector):
    """One head for all levels, of two towers, called once for each."""

    def make_head(self) -> None:
        tower = [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1)]
        self.boxes = nn.Sequential(*tower)
        self.scores = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 4, 1))

    def predictions(self, maps: list[Tensor]) -> list[Tensor]:
        return [torch.cat([self.boxes(x), self.scores(x)], 1) for x in maps]


class Detect(nn.Module):
    """A head that takes all levels in a list, as a YOLO's does."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 7, 1))
            for _ in range(3)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [tower(x) for tower, x in zip(self.towers, maps, strict=True)]


class ListHead(Detector):
    def make_head(self) -> None:
        self.detect = Detect()

    def predictions(self, maps: list[Tensor]) -> list[Tensor]:
        return self.detect(maps)


class Upsampled(Detector):
    """The levels are joined at one resolution, as for segmentation: no head reads a pyramid."""

    def forward(self, x: Tensor) -> Tensor:
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        big = [nn.functional.interpolate(each, (32, 32)) for each in self.neck(maps)]
        return self.heads[0](sum(big))


@pytest.mark.parametrize("make", [Detector, SharedHead, ListHead])
def test_levels_behind_a_neck_that_goes_up_and_down(make: Callable[[], nn.Module]) -> None:
    trunk = TracedNetwork.of(make(), (3, 64, 64)).trunk
    assert [point.module for point in trunk.levels] == [f"neck.out.{i}" for i in range(3)]
    assert left_out(Placement(where="level"), trunk) == []


@pytest.mark.parametrize("make", [Unseen, Upsampled])
def test_a_network_without_a_pyramid_says_so(make: Callable[[], nn.Module]) -> None:
    trunk = TracedNetwork.of(make(), (3, 64, 64)).trunk
    assert trunk.levels == ()
    assert left_out(Placement(where="level"), trunk) == [
        "The network has no pyramid: no heads read maps of two or more resolutions"
    ]


def test_globs_match_what_is_off_the_trunk_too_and_the_trunk_first() -> None:
    model = Unseen()
    insert(model, {"where": "*.conv1"}, input_shape=(3, 32, 32))
    assert "alpha_0_conv1" in model.inserted
    assert len(model.inserted) == 6
    other = Unseen()
    insert(other, {"where": "*"}, input_shape=(3, 32, 32))
    assert "delta" in other.inserted
    assert not any(name.endswith("conv1") for name in other.inserted)
