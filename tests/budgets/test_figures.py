"""The figures of a budget against what they are figures of."""

from pathlib import Path

import pytest

from bamctl import Placement
from bamctl.budgets.figures import figure, price
from bamctl.networks import models
from bamctl.networks.memory import kept_for_backward, on_meta
from bamctl.placement.metrics import static
from bamctl.surgery.insertion import insert_and_prove
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import checkpoints

SHAPE = (3, 64, 64)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_file_size_is_that_of_the_file(dtype: str, tmp_path: Path) -> None:
    import torch

    model = models.build("mobilenet_v3_small").to(getattr(torch, dtype))
    checkpoints.write(tmp_path / "a.safetensors", model, None)
    size = (tmp_path / "a.safetensors").stat().st_size
    assert checkpoints.file_size(model.state_dict()) == size


def test_every_figure_is_that_of_the_modified_network(tmp_path: Path) -> None:
    wanted = Placement(model="resnet18", where="bottleneck", input=SHAPE, num_classes=10)
    priced = price(TracedNetwork.load(wanted), wanted)
    found = {metric: figure(metric, priced) for metric in static()}
    model = models.build("resnet18", inputs=SHAPE, num_classes=10)
    before = sum(parameter.numel() for parameter in model.parameters())
    kept = kept_for_backward(on_meta(model), SHAPE)
    done = insert_and_prove("resnet18", model, wanted, SHAPE)
    assert found["params"].base == before
    assert found["params"].value == sum(parameter.numel() for parameter in model.parameters())
    assert found["macs"].value - found["macs"].base == done.placed.total.macs
    assert found["memory"].base == kept
    assert found["memory"].value == kept_for_backward(on_meta(model), SHAPE)
    checkpoints.write(tmp_path / "a.safetensors", model, None)
    assert found["weights_file"].value == (tmp_path / "a.safetensors").stat().st_size


def test_measuring_leaves_nothing_in_the_network() -> None:
    wanted = Placement(model="resnet18", where="bottleneck", input=SHAPE)
    subject = TracedNetwork.load(wanted)
    keys = list(subject.network.state_dict())
    for metric in static():
        assert figure(metric, price(subject, wanted)) == figure(metric, price(subject, wanted))
    assert list(subject.network.state_dict()) == keys
