"""The paper's control: a fresh copy of one of the network's own blocks."""

import torch
from torch import nn

from bamctl.attention.extra_block import ExtraBlock
from tests.networks import Residual


def test_applies_a_block_of_its_own() -> None:
    block = Residual(8)
    control = ExtraBlock(block)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(control(x.clone()), control.block(x.clone()))
    own = {id(parameter) for parameter in control.parameters()}
    assert own.isdisjoint(id(parameter) for parameter in block.parameters())
    assert not torch.equal(control.block.conv1.weight, block.conv1.weight)


def test_identity_init_changes_no_bit_and_trains() -> None:
    class InPlaceFirst(nn.Sequential):
        """Begins by overwriting its input, as pre-activation blocks do."""

    control = ExtraBlock(InPlaceFirst(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)), "identity")
    x = torch.randn(2, 4, 3, 3)
    y = control(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert float(control.scale.grad.abs()) > 0
