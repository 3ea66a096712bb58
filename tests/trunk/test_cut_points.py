"""Cut points, blocks, stages and bottlenecks of networks that nobody has seen before."""

import pytest
import torch
from torch import Tensor, nn

from bamctl.errors import InputError
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk
from bamctl.trunk.cut_points import Trunk
from tests.networks import ChannelsLastTrunk, Residual, Reused, SideOutput, Skip, Unseen


def trunk_of(model: nn.Module, *shape: int) -> Trunk:
    return find_trunk(model, trace(model, shape or (3, 32, 32)))


def names(points: tuple) -> list[str]:
    return [point.module for point in points]


def test_unseen_network() -> None:
    trunk = trunk_of(Unseen())
    assert names(trunk.blocks) == ["alpha.0", "alpha", "beta.0", "beta.1", "gamma", "delta"]
    assert names(trunk.bottlenecks()) == ["alpha", "beta.1"]
    # Sides 16, 8 and 4; the entry is at 16 too, and there is no stem before the first block.
    assert [stage.end.map.height for stage in trunk.stages] == [16, 8, 4]
    assert [stage.is_stem for stage in trunk.stages] == [False, False, False]
    point = trunk.point("alpha")
    assert point.map.shape == (8, 16, 16)
    assert (point.reduction, point.aliases[-2:]) == (2, ("alpha.1", "alpha"))


def test_a_side_output_does_not_move_the_trunk() -> None:
    assert names(trunk_of(SideOutput()).points) == names(trunk_of(Unseen()).points)


def test_what_a_connection_jumps_over_is_no_trunk_map() -> None:
    trunk = trunk_of(Skip())
    assert "middle" not in names(trunk.points)
    assert names(trunk.blocks) == ["first", "last"]
    assert trunk.point("middle").map.shape == (8, 16, 16)


def test_reused_and_unused_modules_are_no_points() -> None:
    trunk = trunk_of(Reused())
    assert names(trunk.points) == ["entry", "down"]
    with pytest.raises(InputError, match=r"'twice' is called 2 times"):
        trunk.point("twice")
    with pytest.raises(InputError, match=r"'unused' is called never"):
        trunk.point("unused")


def test_a_trunk_of_channels_last_maps() -> None:
    trunk = trunk_of(ChannelsLastTrunk())
    assert [(p.module, p.map.layout.name) for p in trunk.points] == [
        ("embed", "nchw"),
        ("mix1", "nhwc"),
        ("down", "nhwc"),
        ("mix2", "nhwc"),
    ]
    assert names(trunk.bottlenecks()) == ["mix1"]


class ChannelMixer1x1(nn.Module):
    """Two 1x1 convolutions, as in the heads of MobileNets."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(32, 64, 1), nn.Conv2d(64, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.up(x)))


class Plain(nn.Module):
    """No blocks, and unpadded convolutions that trim a pixel off each side."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 8, 3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1)


def test_without_blocks_the_last_map_of_a_stage_is_the_bottleneck() -> None:
    trunk = trunk_of(Plain())
    assert [stage.end.module for stage in trunk.stages] == ["layers.3", "layers.6"]
    assert names(trunk.bottlenecks()) == ["layers.3"]
    assert names(trunk.blocks) == []


def test_global_pooling_is_no_stage_but_a_small_last_stage_is() -> None:
    # At 8x8 the blocks of Unseen run at 4, 2 and 1 pixels; the pooling after them changes nothing.
    trunk = trunk_of(Unseen(), 3, 8, 8)
    assert [stage.end.map.height for stage in trunk.stages] == [4, 2, 1]
    assert names(trunk.bottlenecks()) == ["alpha", "beta.1"]


class Generalized(nn.Module):
    """GeM: a mean of cubes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=1e-6).pow(3).mean((2, 3), keepdim=True).pow(1 / 3)


class Both(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True) + x.amax((2, 3), keepdim=True)


HEADS = {
    "a window over all of it": nn.MaxPool2d(4),
    "generalized mean": Generalized(),
    "mean and maximum": Both(),
    "convolutions": nn.Sequential(nn.AdaptiveAvgPool2d(1), ChannelMixer1x1()),
    "convolutions after a mean": nn.Sequential(Both(), ChannelMixer1x1()),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_global_pooling_of_any_kind_is_no_stage(head: nn.Module) -> None:
    model = Unseen()
    model.pool = head
    trunk = trunk_of(model)
    assert [stage.end.module for stage in trunk.stages] == ["alpha", "beta.1", "delta"]
    assert names(trunk.bottlenecks()) == ["alpha", "beta.1"]


def test_height_and_width_may_differ() -> None:
    trunk = trunk_of(Unseen(), 3, 32, 64)
    assert trunk.point("alpha").map.shape == (8, 16, 32)
    assert names(trunk.bottlenecks()) == ["alpha", "beta.1"]


class Pool(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        stages = [nn.Sequential(Residual(3), nn.MaxPool2d(2)) for _ in range(count)]
        self.stages = nn.Sequential(*stages, Residual(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x)


def test_the_deepest_bottlenecks_are_taken() -> None:
    trunk = trunk_of(Pool(5), 3, 64, 64)
    assert names(trunk.bottlenecks("all")) == [f"stages.{i}.0" for i in range(5)]
    assert names(trunk.bottlenecks()) == ["stages.2.0", "stages.3.0", "stages.4.0"]
    assert names(trunk.bottlenecks(1)) == ["stages.4.0"]


def test_an_identity_returns_nothing_of_its_own() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = Residual(3, 4, 2)
            self.keep = nn.Identity()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.keep(self.down(x)).mean((2, 3)))

    trunk = trunk_of(Model())
    assert names(trunk.points) == ["down"]
    with pytest.raises(InputError, match="does not return one feature map"):
        trunk.point("keep")


def test_nested_blocks_count_once() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Residual(3)
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.inner(x))

    trunk = trunk_of(nn.Sequential(Outer(), nn.MaxPool2d(2), Outer()))
    assert names(trunk.blocks) == ["0", "2"]


def test_unknown_module_has_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"no module 'alhpa'.*did you mean 'alpha'"):
        trunk_of(Unseen()).point("alhpa")
