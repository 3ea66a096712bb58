"""Small networks, one for each reason for which a placement could go to a wrong place."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.networks import Residual


class Plain(nn.Module):
    """Two convolutions in a row, the first of which may shrink the map."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, out_channels, 3, stride, 1)
        self.two = nn.Conv2d(out_channels, out_channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(F.relu(self.one(x)))


def classifier(*layers: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))


class Hourglass(nn.Module):
    """A block at full size, then down and up again with a connection at every size."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Plain(3, 8, 2)
        self.down = nn.ModuleList([Plain(8, 8, 2), Plain(8, 8, 2), Plain(8, 8, 2)])
        self.up = nn.ModuleList([Plain(16, 8), Plain(16, 8)])

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down[0](self.first(x))
        middle = self.down[1](fine)
        y = self.down[2](middle)
        for up, skip in zip(self.up, (middle, fine), strict=True):
            y = up(torch.cat((F.interpolate(y, scale_factor=2.0), skip), 1))
        return y


class TwoSpeeds(nn.Module):
    """Details from the end of the stem, context from an encoder behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Plain(3, 8, 2), Plain(8, 8, 2))
        self.context = nn.Sequential(Plain(8, 16, 2), Plain(16, 16), Plain(16, 32, 2))
        self.detail = nn.Conv2d(8, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.detail(x) + F.interpolate(self.context(x), size=x.shape[2:])


class Pyramid(nn.Module):
    """A detector with two levels below its backbone, and nodes that join levels."""

    class Node(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = Plain(8, 8)

        def forward(self, maps: list[Tensor]) -> Tensor:
            fine, coarse = maps
            return self.mix(fine + F.interpolate(coarse, size=fine.shape[2:]))

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Plain(3, 8, 4), Plain(8, 8, 2), Plain(8, 8, 2)])
        self.extra = nn.ModuleList([nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)])
        self.nodes = nn.ModuleList([self.Node() for _ in range(4)])

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in (*self.stages, *self.extra):
            x = layer(x)
            maps.append(x)
        for index in (3, 2, 1, 0):
            maps[index] = self.nodes[index]([maps[index], maps[index + 1]])
        return maps


class Padded(nn.Module):
    """A 5x5 convolution behind a padding module, which makes 8x8 maps 12x12 for a moment."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, channels, 1)
        self.pad = nn.ZeroPad2d((1, 2, 1, 2) if stride == 2 else 2)
        self.conv = nn.Conv2d(channels, channels, 5, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.pad(self.expand(x)))


class Encoder(nn.Module):
    """A whole backbone of plain layers in one class."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, 8, 3, 2, 1) for c in (3, 8, 8, 8))
        self.acts = nn.ModuleList(nn.GELU() for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for conv, act in zip(self.convs, self.acts, strict=True):
            x = act(conv(x))
        return x


class Carrying(nn.Module):
    """Hands on its result and what its stage began with."""

    def __init__(self, channels: int, out_channels: int, *, begins: bool) -> None:
        super().__init__()
        self.begins = begins
        self.inner = nn.Conv2d(channels, out_channels, 3, 2 if begins else 1, 1)
        self.join = nn.Conv2d(out_channels * (1 if begins else 2), out_channels, 1)

    def forward(self, both: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, start = both
        y = F.relu(self.inner(x))
        if self.begins:
            y = self.join(y)
            return y, y
        return self.join(torch.cat((y, start), 1)), start


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.Sequential(
            Carrying(8, 8, begins=True),
            Carrying(8, 8, begins=False),
            Carrying(8, 16, begins=True),
            Carrying(16, 16, begins=False),
            Carrying(16, 16, begins=True),
            Carrying(16, 16, begins=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.blocks((x, x))[0].mean((2, 3))


class Mixer(nn.Module):
    """Two linear layers over the channels of tokens or of a channels-last map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Merge(nn.Module):
    """Four neighbours become one token of a grid of half the height and width."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side, self.project = side, nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, _, c = x.shape
        x = x.unflatten(1, (self.side // 2, 2, self.side // 2, 2)).permute(0, 1, 3, 2, 4, 5)
        return self.project(x.reshape(n, -1, 4 * c))


class Embedded(nn.Module):
    """Patches as tokens, and what works on them."""

    def __init__(self, *body: nn.Module, patch: int = 4, channels: int = 8) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, channels, patch, patch)
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.embed(x).flatten(2).transpose(1, 2)).mean(1)


class InBothLayouts(nn.Module):
    """Takes and returns (N, H, W, C), and works on tokens in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first, self.second = (nn.Linear(channels, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        shape = x.shape
        x = (x + self.first(self.norm(x))).flatten(1, 2)
        return (x + self.second(x)).view(shape)


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.one, self.two, self.three = (InBothLayouts(8) for _ in range(3))
        self.shrink = nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.one(self.embed(x).permute(0, 2, 3, 1)))
        n, h, w, c = x.shape
        x = x.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 4, 2, 5).flatten(3)
        return self.three(self.shrink(x)).mean((1, 2))


class FewerKeys(nn.Module):
    """Attention to keys on a coarser grid, as in PVT."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.both = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)
        self.shrink, self.mix = nn.Conv2d(channels, channels, 4, 4), Mixer(channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        coarse = self.shrink(x).flatten(2).transpose(1, 2)
        key, value = self.both(coarse).chunk(2, -1)
        scores = (self.query(tokens) @ key.transpose(1, 2)).softmax(-1)
        return self.mix(tokens + scores @ value).transpose(1, 2).unflatten(2, x.shape[2:])


class KeysInSegmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed1, self.embed2 = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 2, 2)
        self.one, self.two = FewerKeys(8), FewerKeys(8)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.norm(self.one(self.embed1(x)))
        coarse = self.two(self.embed2(fine))
        return fine + F.interpolate(coarse, scale_factor=2.0)


class Unfolded(nn.Module):
    """Works on the pixels of patches side by side, as MobileViTv2 does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inside = nn.Sequential(Plain1x1(channels), Plain1x1(channels))
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        patches = F.unfold(x, 2, stride=2).unflatten(1, (x.shape[1], 4))
        return self.out(F.fold(self.inside(patches).flatten(1, 2), size, 2, stride=2))


class Plain1x1(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(channels, 16, 1), nn.Conv2d(16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.relu(self.up(x)))


class ImageEverywhere(nn.Module):
    """Feeds the shrunk image, through a layer of its own, to every stage."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.look = nn.ModuleList(nn.Conv2d(3, 8, 1) for _ in range(3))
        self.stages = nn.ModuleList(Plain(8, 8, 2) for _ in range(3))

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for look, stage in zip(self.look, self.stages, strict=True):
            x = stage(x + look(F.interpolate(image, size=x.shape[2:])))
        return x.mean((2, 3))


class Separable(nn.Module):
    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.each = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels)
        self.across = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.across(self.each(x))


class Inverted(nn.Module):
    """Two separable convolutions, with a sum around them where the shape stays."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.up = Separable(channels, 2 * channels)
        self.down = Separable(2 * channels, out_channels, stride)
        self.keeps_shape = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(F.relu(self.up(x)))
        return x + y if self.keeps_shape else y


class Heads(nn.Module):
    """Self-attention with a normalisation by hand over (N, heads, L, 1)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.all, self.mix = heads, nn.Linear(channels, 3 * channels), Mixer(channels)

    def forward(self, x: Tensor) -> Tensor:
        n, length, channels = x.shape
        query, key, value = self.all(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (query @ key.transpose(-2, -1)).exp()
        scores = scores / scores.sum(-1, keepdim=True)
        found = (scores @ value).transpose(1, 2).reshape(n, length, channels)
        return self.mix(x + found)


class Shuffled(nn.Module):
    """Orders tokens by their place in a window, then pools every window."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = Mixer(8), Mixer(8)

    def forward(self, x: Tensor) -> Tensor:
        n, _, c = x.shape
        x = x.view(n, 8, 2, 8, 2, c).permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c)
        return self.after(self.before(x).view(n, 4, 64, c).mean(1))


class TokenMixer(nn.Module):
    """Linear layers over the tokens, not the channels, and a sum."""

    def __init__(self, length: int, channels: int) -> None:
        super().__init__()
        self.across, self.mix = nn.Linear(length, length), Mixer(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x + F.gelu(self.across(x.transpose(1, 2))).transpose(1, 2))


class Pooling(nn.Module):
    """Two convolutions and the pooling that ends their stage."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.act = nn.Conv2d(channels, 8, 3, 1, 1), nn.ReLU()
        self.two, self.pool = nn.Conv2d(8, 8, 3, 1, 1), nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.two(self.act(self.one(x))))


class NamedSequential(nn.Sequential):
    """A class of its own for two layers in a row, as many people's DoubleConv."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        first = nn.Conv2d(channels, 8, 3, stride, 1)
        super().__init__(first, nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())


class Factored(nn.Sequential):
    """One convolution as two, along one axis each: a layer, no block."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        tall = nn.Conv2d(channels, 8, (3, 1), (stride, 1), (1, 0))
        super().__init__(tall, nn.Conv2d(8, 8, (1, 3), (1, stride), (0, 1)))


class Parts(nn.Module):
    """Pools its last map to six stripes, and looks at each by itself, as PCB does."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Plain(3, 8, 2), Plain(8, 8, 2), Plain(8, 8))
        self.stripes, self.reduce = nn.AdaptiveAvgPool2d((6, 1)), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(self.stripes(self.body(x))).flatten(1)


class Head1x1(nn.Module):
    """Two layers for one pixel, after a window that happens to cover the last map."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.one, self.two = nn.AvgPool2d(4), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(F.hardswish(self.one(self.pool(x)))).flatten(1)


class TwoMaps(nn.Module):
    """Returns its map and what it was weighted with, and no module returns the map alone."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv, self.mix = nn.Conv2d(channels, 8, 3, stride, 1), nn.Conv2d(8, 8, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(x)
        return x + self.mix(x), x.mean((2, 3))


class ReturnsTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = TwoMaps(3, 2), TwoMaps(8, 2), TwoMaps(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.one(x)
        x, _ = self.two(x)
        return self.three(x)[0].mean((2, 3))


class ListOfStages(nn.Module):
    """Stages of plain layers in one list with stages of blocks, as in MobileNetV4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        plain = [nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)]
        stages = [nn.Sequential(*plain), nn.Sequential(Residual(8, 8, 2), Residual(8))]
        self.stages = nn.Sequential(*stages, nn.Sequential(Residual(8, 8, 2), Residual(8)))

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(self.stem(x)).mean((2, 3))


@dataclass(frozen=True)
class Cause:
    """A network, what it is run on, and the bottlenecks and blocks that a person would name."""

    make: Callable[[], nn.Module]
    bottlenecks: str
    blocks: str | None = None
    shape: tuple[int, ...] = (3, 64, 64)


CAUSES = {
    "hourglass": Cause(Hourglass, "first down.0 down.1"),
    "trunk behind the stem": Cause(TwoSpeeds, "stem.0 stem context.1"),
    "levels below the backbone": Cause(Pyramid, "stages.0 stages.1", shape=(3, 128, 128)),
    "padding modules": Cause(
        lambda: classifier(
            nn.Conv2d(3, 8, 3, 4, 1), Padded(8), Padded(8, 2), Padded(8), Padded(8), channels=8
        ),
        "1",
        "1 2 3 4",
        (3, 32, 32),
    ),
    "a backbone of plain layers": Cause(
        lambda: classifier(Encoder(), channels=8), "0.acts.0 0.acts.1 0.acts.2", ""
    ),
    "pairs": Cause(Pairs, "blocks.1.join blocks.3.join"),
    "token merging": Cause(
        lambda: Embedded(Mixer(8), Mixer(8), Merge(8, 16), Mixer(8), Merge(8, 8), Mixer(8)),
        "body.1 body.3",
        "body.0 body.1 body.3 body",
    ),
    "both layouts in a block": Cause(ChannelsLast, "two", "one two three"),
    "fewer keys": Cause(KeysInSegmenter, "norm", "one two"),
    "patches side by side": Cause(
        lambda: classifier(Plain(3, 8, 2), Unfolded(8), Plain(8, 8, 2), Plain(8, 8, 2), channels=8),
        "1 2",
    ),
    "the image everywhere": Cause(ImageEverywhere, "stages.0 stages.1"),
    "a head behind a window": Cause(
        lambda: nn.Sequential(Plain(3, 8, 4), Plain(8, 8, 2), Plain(8, 8, 2), Head1x1()),
        "0 1",
        "0 1 2",
    ),
    "series of layers": Cause(
        lambda: classifier(
            nn.Conv2d(3, 8, 3, 2, 1),
            *(Inverted(8, 8), Inverted(8, 8, 2), Inverted(8, 8), Inverted(8, 8, 2)),
            channels=8,
        ),
        "1 3",
        "1 2 3 4",
    ),
    "one head": Cause(lambda: Embedded(Heads(8, 1), Heads(8, 1)), "", "body.0 body"),
    "rows normalized by hand": Cause(lambda: Embedded(Heads(8, 2), Heads(8, 2)), "", "body.0 body"),
    "shuffled tokens": Cause(lambda: Embedded(Shuffled()), "", "body"),
    "layers over tokens": Cause(
        lambda: Embedded(TokenMixer(256, 8), TokenMixer(256, 8)), "", "body.0 body"
    ),
    "a normalized image": Cause(
        lambda: classifier(
            nn.InstanceNorm2d(3), nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), channels=8
        ),
        "1",
        "",
    ),
    "blocks that pool": Cause(
        lambda: classifier(Pooling(3), Pooling(8), Pooling(8), channels=8), "0.two 1.two 2.two"
    ),
    "sequences with a name": Cause(
        lambda: classifier(
            NamedSequential(3, 2), NamedSequential(8), NamedSequential(8, 2), channels=8
        ),
        "1",
        "0 1 2",
    ),
    "factored layers": Cause(
        lambda: classifier(Factored(3, 2), Residual(8), Residual(8, 8, 2), channels=8), "1", "1 2"
    ),
    "pooling to parts": Cause(Parts, "body.0", "body.0 body.1 body", (3, 96, 96)),
    "two results": Cause(ReturnsTwo, "one two", "one two three"),
    "a list of stages": Cause(ListOfStages, "stages.0 stages.1"),
}
