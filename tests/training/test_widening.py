"""Wider networks: as many parameters as asked for, and the same weights where they were."""

import copy

import pytest
import torch
from torch import nn

from bamctl.networks import models
from bamctl.tracing.trace import trace
from bamctl.training._widening import HiddenChannels, find_hidden, plan, widen
from tests.builders import small_inputs

FAMILIES = ["resnet18", "mobilenet_v2", "densenet121", "convnext_tiny", "swin_t", "vgg11_bn"]


@pytest.fixture(scope="module", params=FAMILIES)
def network(request: pytest.FixtureRequest) -> tuple[nn.Module, object]:
    torch.manual_seed(0)
    given = small_inputs(request.param)
    model = models.build(request.param, inputs=given).eval()
    return model, trace(model, given)


def num_params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_resnet18s_blocks_have_one_hidden_width_each() -> None:
    """A basic block's first convolution, 3x3, and the second that takes what it makes."""
    model = models.build("resnet18", initialize=False)
    hidden = find_hidden(model, trace(model, (3, 64, 64)))
    assert len(hidden) == 8
    # One channel more at 64: 64 * 9 weights into it, 64 * 9 out of it, and two of the batch norm.
    assert hidden[0] == HiddenChannels(
        "layer1.0.conv1", ("layer1.0.bn1",), "layer1.0.conv2", 64, 1154
    )
    # In the first block of layer 2, 64 channels come in and 128 go out.
    assert hidden[2].params_per_channel == 64 * 9 + 128 * 9 + 2


def test_depthwise_convolutions_are_widened_on_the_way() -> None:
    model = models.build("mobilenet_v2", initialize=False)
    hidden = {h.first: h for h in find_hidden(model, trace(model, (3, 64, 64)))}
    second = hidden["features.2.conv.0.0"]
    assert second.channelwise == (
        "features.2.conv.0.1",
        "features.2.conv.1.0",
        "features.2.conv.1.1",
    )
    # 16 in, nine depthwise, 24 out, and two batch norms of two.
    assert second.params_per_channel == 16 + 9 + 24 + 4


@pytest.mark.parametrize("fraction", [0.002, 0.02, 0.3])
def test_as_many_parameters_as_asked_for(
    network: tuple[nn.Module, object], fraction: float
) -> None:
    model, traced = network
    hidden = find_hidden(model, traced)
    wanted = round(fraction * traced.params)
    wider = copy.deepcopy(model)
    widen(wider, hidden, plan(hidden, wanted))
    added = num_params(wider) - num_params(model)
    assert abs(added - wanted) <= min(each.params_per_channel for each in hidden) / 2
    retraced = trace(wider, traced.given)
    assert retraced.macs[""] > traced.macs[""]
    assert [retraced.shapes[v] for v in retraced.outputs] == [
        traced.shapes[v] for v in traced.outputs
    ]


def test_pretrained_outputs_are_kept(network: tuple[nn.Module, object]) -> None:
    model, traced = network
    hidden = find_hidden(model, traced)
    wider = copy.deepcopy(model)
    widen(wider, hidden, plan(hidden, traced.params // 50), keep_outputs=True)
    image = torch.randn(2, *traced.given[0].shape)
    with torch.no_grad():
        torch.testing.assert_close(wider(image), model(image), rtol=1e-4, atol=1e-5)


def test_old_weights_stay_and_new_ones_are_drawn_alike() -> None:
    model = models.build("resnet18")
    hidden = find_hidden(model, trace(model, (3, 64, 64)))
    wider = copy.deepcopy(model)
    widen(wider, hidden[:1], [64])
    old, new = model.layer1[0], wider.layer1[0]
    assert torch.equal(new.conv1.weight[:64], old.conv1.weight)
    assert torch.equal(new.conv2.weight[:, :64], old.conv2.weight)
    assert new.conv1.weight.detach()[64:].std().item() == pytest.approx(
        old.conv1.weight.detach().std().item(), rel=0.05
    )
    assert torch.equal(new.bn1.weight[64:], torch.ones(64))
    assert torch.equal(new.bn1.running_var[64:], torch.ones(64))
    assert torch.equal(wider.layer2[0].conv1.weight, model.layer2[0].conv1.weight)
    wider.train()(torch.randn(2, 3, 64, 64)).sum().backward()


def test_nothing_hidden_means_nothing_to_widen() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    assert find_hidden(model, trace(model, (3, 8, 8))) == ()
    assert plan((), 100) == ()
