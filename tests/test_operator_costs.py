"""The table of operators: every one has one cost, and none is there twice."""

import pytest
import torch
from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS
from torch import Tensor, nn

from bamctl import operator_costs
from bamctl.tracing import trace


def test_no_operator_has_two_costs() -> None:
    families = [
        operator_costs.FVCORE_MACS,
        operator_costs.ELEMENTWISE,
        operator_costs.REDUCTIONS,
        operator_costs.FREE,
    ]
    kinds = [kind for family in families for kind in family]
    assert len(kinds) == len(set(kinds))
    assert len(operator_costs.handles(_DEFAULT_SUPPORTED_OPS)) >= len(kinds)


class Calls(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        # Each on an image of 3x8x8, which has 192 elements.
        (torch.relu, 192),
        (lambda x: x + x, 192),
        (lambda x: x.mean((2, 3)), 192),
        (lambda x: nn.functional.max_pool2d(x, 2), 192),
        (lambda x: nn.functional.interpolate(x, scale_factor=2), 4 * 192),
        (lambda x: torch.addcmul(x, x, x), 2 * 192),
        (lambda x: x.flatten(1).softmax(1), 192),
        (lambda x: x.permute(0, 2, 3, 1).contiguous(), 0),
        (lambda x: x[:, :, ::2], 0),
    ],
)
def test_elementwise_operations_by_hand(function: object, ops: int) -> None:
    traced = trace(Calls(function), (3, 8, 8))
    assert traced.elementwise_ops[""] == ops
    assert traced.macs[""] == 0
    assert traced.uncounted == {}
