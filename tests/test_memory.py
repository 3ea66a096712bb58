"""What is kept for the backward pass, by hand."""

import torch
from torch import nn

from bamctl.memory import kept_for_backward, on_meta


def test_what_each_layer_keeps() -> None:
    # A sigmoid keeps its output; a linear layer its input, which is the caller's own if first.
    # Then there is the result, which is for the next layer to keep.
    assert kept_for_backward(on_meta(nn.Linear(10, 20)), (10,)) == 20 * 4
    layers = on_meta(nn.Sequential(nn.Linear(10, 20), nn.Sigmoid()))
    assert kept_for_backward(layers, (10,)) == 20 * 4
    # The second linear layer keeps the very tensor that the sigmoid keeps: it counts once.
    layers = on_meta(nn.Sequential(nn.Linear(10, 20), nn.Sigmoid(), nn.Linear(20, 7)))
    assert kept_for_backward(layers, (10,)) == (20 + 7) * 4
    assert kept_for_backward(layers.double(), (10,)) == (20 + 7) * 8


def test_the_copy_has_shapes_and_shares_no_weights() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    copy = on_meta(model)
    assert {tensor.device.type for tensor in copy.state_dict().values()} == {"meta"}
    assert {k: t.shape for k, t in copy.state_dict().items()} == {
        k: t.shape for k, t in model.state_dict().items()
    }
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}
    assert torch.isfinite(model(torch.ones(1, 3, 8, 8))).all()
