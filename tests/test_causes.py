"""Bottlenecks and blocks of networks whose shape misled the search for them once."""

import pytest
import torch
from torch import nn

from bamctl import analyze, insert
from bamctl.trunk.layouts import Tokens
from tests.causes import CAUSES, Cause, Embedded, Heads, ReturnsTwo, Shuffled


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_where_a_person_would_put_it(cause: Cause) -> None:
    found = analyze(cause.make(), input_shape=cause.shape)
    assert found.strategies["bottleneck"].modules == cause.bottlenecks.split()
    if cause.blocks is not None:
        assert found.strategies["block"].modules == cause.blocks.split()


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_module_can_be_inserted_there_and_trained(cause: Cause) -> None:
    torch.manual_seed(0)
    model = cause.make().train()
    where = "bottleneck" if cause.bottlenecks else "block"
    insert(model, {"where": where}, input_shape=cause.shape)
    results = model(torch.randn(2, *cause.shape))
    for result in results if isinstance(results, list) else [results]:
        result.square().mean().backward(retain_graph=True)
    assert all(parameter.grad is not None for parameter in model.inserted.parameters())


@pytest.mark.parametrize("heads", [1, 2])
def test_tokens_keep_the_grid_that_they_were_cut_to(heads: int) -> None:
    model = Embedded(Heads(8, heads), Heads(8, heads))
    # 64x48 pixels in patches of 4: a grid of 16 x 12, not a strip.
    points = analyze(model, input_shape=(3, 64, 48)).trunk.blocks
    assert [point.map.layout for point in points] == [Tokens((16, 12))] * 2


def test_shuffled_tokens_are_no_map_until_they_are_in_order_again() -> None:
    trunk = analyze(Embedded(Shuffled()), input_shape=(3, 64, 64)).trunk
    assert "body.0.before" not in {name for point in trunk.points for name in point.aliases}
    # Every window of 2x2 is pooled: 16 x 16 tokens become 8 x 8 in the order of the image.
    assert trunk.point("body").map.layout == Tokens((8, 8))


def test_of_two_results_only_the_map_is_refined() -> None:
    torch.manual_seed(0)
    model, x = ReturnsTwo().eval(), torch.randn(1, 3, 64, 64)
    refined, weights = model.one(x)
    insert(model, {"where": ["one"]}, input_shape=(3, 64, 64))
    after, same = model.one(x)
    assert torch.equal(same, weights)
    assert not torch.equal(after, refined)


class Cells(nn.Module):
    """Every cell takes the results of the two cells before it, as in NASNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.left = nn.ModuleList(nn.Conv2d(8, 8, 3, 1, 1) for _ in range(4))
        self.right = nn.ModuleList(nn.Conv2d(8, 8, 3, 1, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = now = self.stem(x)
        for left, right in zip(self.left, self.right, strict=True):
            before, now = now, left(now) + right(before)
        return (now + before).mean((2, 3))


def test_cells_of_two_inputs_have_no_cut_point_but_the_stem() -> None:
    trunk = analyze(Cells(), input_shape=(3, 32, 32)).trunk
    assert [point.module for point in trunk.points] == ["stem"]
