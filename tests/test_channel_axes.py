"""Which axis of a value holds the channels, told from the operators around it."""

import torch
from torch import Tensor, nn

from bamctl.channel_axes import channel_axes
from bamctl.tracing import trace


class Rearranged(nn.Module):
    """A convolution, then a linear layer on the last axis, then a convolution again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.act = nn.ReLU()
        self.mix = nn.Linear(8, 8)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x)).permute(0, 2, 3, 1)
        x = torch.tanh(self.mix(x) + x)
        return self.last(x.permute(0, 3, 1, 2))


def test_axes_follow_the_data() -> None:
    model = Rearranged()
    traced = trace(model, (3, 16, 24))
    axes = channel_axes(traced)
    returned = {call.module: call.output for call in traced.calls}
    assert axes[returned["act"]] == 1
    assert axes[returned["mix"]] == 3
    assert axes[returned["last"]] == 1
    summed = next(op.outputs[0] for op in traced.operators if op.kind == "aten::tanh")
    assert axes[summed] == 3


def test_rows_of_tokens() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Transposed(), nn.Linear(8, 8))
    traced = trace(model, (3, 16, 16))
    returned = {call.module: call.output for call in traced.calls}
    assert channel_axes(traced)[returned["3"]] == 2


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)
