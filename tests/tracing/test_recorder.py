"""Work whose result nobody reads: counted, and no part of the dataflow."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bamctl import analyze
from bamctl.tracing.trace import trace
from tests.networks import Unseen


class Wasteful(Unseen):
    """Computes a chain of maps, and a sum of some channels, that lead to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.deeper = nn.Conv2d(8, 16, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.alpha(self.entry(x))
        _ = self.deeper(self.side(x))[:, :8] + 1
        for block in self.beta:
            x = block(x)
        x = self.delta(self.gamma(x))
        return self.head(self.pool(x).flatten(1))


def test_work_that_is_not_used_is_counted() -> None:
    model = Wasteful().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 32, 32))
    found = trace(model, (3, 32, 32))
    assert found.macs[""] == counter.get_total_flops() // 2
    # 16x16 maps of the entry; a convolution to 8x8, and one to 4x4.
    assert (found.macs["side"], found.macs["deeper"]) == (64 * 8 * 8 * 9, 16 * 8 * 16 * 9)
    assert found.elementwise_ops["side"] == 8 * 8 * 8


def test_what_is_not_used_is_no_part_of_the_dataflow() -> None:
    plain, wasteful = (analyze(kind(), input_shape=(3, 32, 32)) for kind in (Unseen, Wasteful))
    kinds = [[operator.kind for operator in found.trace.operators] for found in (plain, wasteful)]
    assert kinds[0] == kinds[1]
    assert len(wasteful.trace.outputs) == 1
    assert [p.module for p in plain.trunk.points] == [p.module for p in wasteful.trunk.points]


def test_what_is_written_into_a_part_of_a_map_is_kept() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = x + 1
            y[:, :, :4] = self.conv(x[:, :, :4])
            return y

    assert trace(Writes(), (3, 8, 8)).macs[""] == 9 * 32


@pytest.mark.parametrize("name", ["conv/a", "a%2Fb", "ø", "a::b c"])
def test_a_module_may_have_any_name(name: str) -> None:
    model = nn.Sequential()
    model.add_module(name, nn.Sequential(nn.Conv2d(3, 4, 1)))
    model.add_module("other", nn.Conv2d(4, 4, 1))
    found = trace(model, (3, 8, 8))
    assert found.macs == {"": 1792, name: 768, f"{name}.0": 768, "other": 1024}
    assert [call.module for call in found.calls] == [f"{name}.0", name, "other", ""]
