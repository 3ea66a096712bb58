"""The main job on all of torchvision's classification builders, one test case each."""

import pytest
import torch
from torch import nn

from bamctl import Placement, analyze, models, remove
from bamctl.cost import placement_cost
from bamctl.sites import resolve
from bamctl.surgery import insert_sites
from bamctl.tracing import trace
from bamctl.trunk import find_trunk
from tests.builders import NAMES, build, small_shape


def test_there_are_eighty() -> None:
    assert len(NAMES) == 80


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_the_published_ones(name: str) -> None:
    """At the crop of the default weights, whose parameters and multiply-adds are published."""
    found, published = analyze(name), models.published(name)
    assert found.trace.params == published["num_params"]
    # Published in 1e9 with three decimals: half of the last digit is all that can be asked.
    gmacs = published["_ops"]
    assert found.trace.macs[""] / 1e9 == pytest.approx(gmacs, rel=0.005, abs=0.0005)
    assert found.trace.uncounted == {}
    assert all(placed.unavailable is None for placed in found.strategies.values())


@pytest.mark.parametrize("name", NAMES)
def test_insert_and_remove(name: str) -> None:
    """Costs in closed form equal a retrace; forward, backward and the way back work."""
    model, shape = build(name), small_shape(name)
    before = trace(model, shape)
    trunk = find_trunk(model, before)
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    image = torch.randn(2, *shape)
    with torch.no_grad():
        expected = model(image)
    for where in ("bottleneck", "block"):
        sites = resolve(Placement(where=where), trunk)
        if not sites:
            # Vision Transformers never downsample; AlexNet and VGG have no blocks.
            assert name.startswith({"bottleneck": "vit_", "block": ("alexnet", "vgg")}[where])
            continue
        insert_sites(model, sites)
        after, added = trace(model, shape), placement_cost(sites, model, before).total
        assert after.params - before.params == added.params
        assert after.macs[""] - before.macs[""] == added.macs
        assert after.elementwise_ops[""] - before.elementwise_ops[""] == added.elementwise_ops
        assert_trains(model, image)
        remove(model)
        assert_same_state(model.state_dict(), weights)
        with torch.no_grad():
            assert torch.equal(model(image), expected)


def assert_trains(model: nn.Module, image: torch.Tensor) -> None:
    """One step in eval mode, as the statistics of two images of one pixel would be no use."""
    for parameter in model.parameters():
        # Only what is inserted; whether the network's own weights learn is not in question.
        parameter.requires_grad_(False)
    inserted = list(model.inserted.requires_grad_().parameters())
    output = model(image)
    assert bool(output.isfinite().all())
    gradients = torch.autograd.grad(output.square().mean(), inserted)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)
    model.requires_grad_()


def assert_same_state(state: dict[str, torch.Tensor], weights: dict[str, torch.Tensor]) -> None:
    assert list(state) == list(weights)
    assert all(torch.equal(state[key], tensor) for key, tensor in weights.items())
