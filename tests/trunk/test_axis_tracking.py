"""Which axis of a value holds height, width or something else, followed through operators."""

import torch
from torch import Tensor, nn

from bamctl.tracing.trace import trace
from bamctl.trunk._axes import merged
from bamctl.trunk._axis_tracking import find_axes
from bamctl.trunk.feature_maps import feature_maps


def described(model: nn.Module, *shape: int) -> dict[str, list[str]]:
    """For each module that returns a tensor, the parts of each axis of its output."""
    traced = trace(model, shape)
    axes = find_axes(traced)
    return {
        call.module: [" ".join(f.name for f in merged(axis)) for axis in axes[call.output]]
        for call in traced.calls
        if call.output in axes
    }


class Rearranged(nn.Module):
    """A convolution, then a linear layer on the last axis, then a convolution again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.mix = nn.Linear(8, 8)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).permute(0, 2, 3, 1)
        x = torch.tanh(self.mix(x) + x)
        return self.last(x.permute(0, 3, 1, 2))


def test_axes_follow_the_data() -> None:
    found = described(Rearranged(), 3, 16, 24)
    assert found["conv"] == ["", "other", "h", "w"]
    assert found["mix"] == ["", "h", "w", "other"]
    assert found["last"] == ["", "other", "h", "w"]


class Windows(nn.Module):
    """Cuts a map into windows of 4x4, works on each, and puts them together again."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.inside, self.whole = nn.Conv2d(3, 8, 1), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        windows = x.view(n, h // 4, 4, w // 4, 4, c).transpose(2, 3).reshape(-1, 16, c)
        windows = self.inside(windows).view(n, h // 4, w // 4, 4, 4, c)
        return self.whole(windows.transpose(2, 3).reshape(n, h, w, c))


def test_windows_are_parts_of_a_map() -> None:
    found = described(Windows(), 3, 16, 24)
    # The outer parts of height and width number the windows, the inner ones their pixels.
    assert found["inside"] == ["h w", "h w", "other"]
    assert found["whole"] == ["", "h", "w", "other"]


class Prefixed(nn.Module):
    """Tokens of patches behind a class token, which goes before the end."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.zeros(1, 1, 8))
        self.both, self.patches = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = self.both(torch.cat((self.token.expand(len(x), -1, -1), x), 1))
        return self.patches(x[:, 1:])


def test_a_class_token_stands_before_the_grid() -> None:
    traced = trace(Prefixed(), (3, 16, 24))
    maps = feature_maps(traced)
    layouts = {c.module: maps[c.output].layout for c in traced.calls if c.output in maps}
    assert (layouts["both"].grid, layouts["both"].num_prefix_tokens) == ((4, 6), 1)
    assert (layouts["patches"].grid, layouts["patches"].num_prefix_tokens) == ((4, 6), 0)


class Behind(Prefixed):
    """The class token stands behind the patches, where no layout of ours has it."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.both(torch.cat((x, self.token.expand(len(x), -1, -1)), 1))


def test_a_token_behind_the_grid_is_no_prefix() -> None:
    traced = trace(Behind(), (3, 16, 24))
    returned = {call.module: call.output for call in traced.calls}
    assert returned["both"] not in feature_maps(traced)
