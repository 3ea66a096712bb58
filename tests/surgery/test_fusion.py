"""Batch norms folded: the same outputs to 1e-6, the network itself as it was."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import bamctl
from bamctl import Placement
from bamctl.networks.models import build
from tests.networks import Tiny, Unseen


def settled(model: nn.Module) -> nn.Module:
    """In double precision and eval mode, with statistics of their own in every batch norm."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for tensor in (module.running_mean, module.weight, module.bias):
                nn.init.uniform_(tensor, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.double().eval()


def norms(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_inserted_attention_is_folded_too(name: str, variant: str) -> None:
    model = build(name, num_classes=5)
    attention = {"variant": variant}
    bamctl.insert(
        model, Placement(where="bottleneck", attention=attention), input_shape=(3, 64, 64)
    )
    fused = bamctl.fuse(settled(model), (3, 64, 64))
    assert norms(model)
    assert norms(fused) == []
    x = torch.randn(2, 3, 64, 64, dtype=torch.double)
    with torch.no_grad():
        expected, found = model(x), fused(x)
    assert float((found - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


def test_only_what_is_alone_is_folded() -> None:
    """What reads the layer's own result, beside the batch norm, keeps both as they are."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return x + self.norm(x)

    model = settled(Shared())
    fused = bamctl.fuse(model, (3, 8, 8))
    assert norms(fused) == ["norm"]
    x = torch.randn(2, 3, 8, 8, dtype=torch.double)
    assert torch.equal(fused(x), model(x))


def test_the_network_is_left_as_it_was() -> None:
    model = Tiny().train()
    state = copy.deepcopy(model.state_dict())
    fused = bamctl.fuse(model, (3, 32, 32))
    assert model.training
    assert not fused.training
    assert norms(model) == ["entry.1"]
    assert norms(fused) == []
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


def test_nothing_to_fold() -> None:
    model, x = Unseen().eval(), torch.randn(1, 3, 32, 32)
    assert torch.equal(bamctl.fuse(model, (3, 32, 32))(x), model(x))
