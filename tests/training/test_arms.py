"""Arms share what they can: the initial weights of common layers, seed by seed."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bamctl.errors import InputError
from bamctl.networks import models
from bamctl.networks.inserted import HOLDER
from bamctl.placement.placement import Placement
from bamctl.training.arms import Networks, make_arms
from bamctl.weights import checkpoints
from tests.networks import Tiny
from tests.training.conftest import small


def test_common_layers_start_alike_and_differ_from_seed_to_seed() -> None:
    config = small(control=True, placements={"one": Placement(where="one")})
    networks = Networks(config)
    arms = make_arms(config, networks.baseline(0)).arms
    assert [arm.kind for arm in arms] == ["baseline", "placement", "extra-block", "wider"]
    first = [networks.of(arm, 3).state_dict() for arm in arms]
    again = [networks.of(arm, 3).state_dict() for arm in arms]
    other = [networks.of(arm, 4).state_dict() for arm in arms]
    for state, same in zip(first, again, strict=True):
        assert all(torch.equal(state[name], same[name]) for name in state)
    for state in first[1:]:
        for name, tensor in first[0].items():
            old = state[name][tuple(map(slice, tensor.shape))]
            assert torch.equal(old, tensor), name
    assert not torch.equal(first[0]["head.weight"], other[0]["head.weight"])
    added = [name for name in first[1] if name.startswith(HOLDER)]
    assert any(not torch.equal(first[1][name], other[1][name]) for name in added)


def test_what_an_arm_adds_is_what_its_network_has_more() -> None:
    config = small(control=True)
    networks = Networks(config)
    arms = make_arms(config, networks.baseline(0)).arms
    base = sum(p.numel() for p in networks.baseline(0).parameters())
    for arm in arms:
        params = sum(p.numel() for p in networks.of(arm, 0).parameters())
        assert arm.added.params == params - base
    attention, wider = arms[1], arms[-1]
    assert wider.kind == "wider"
    assert wider.added.params == pytest.approx(attention.added.params, abs=80)


def test_a_placement_that_selects_nothing() -> None:
    config = small(model="vit_b_16", input="3x224x224", num_classes=1000)
    with pytest.raises(InputError, match="selects no cut point"):
        make_arms(config, models.build("vit_b_16", initialize=False))


def file_of(network: nn.Module, path: Path) -> str:
    checkpoints.write(path, network, None)
    return str(path)


def test_pretrained_weights_but_for_a_head_of_other_classes(tmp_path: Path) -> None:
    trained = Tiny(num_classes=7)
    config = small(weights=file_of(trained, tmp_path / "w.safetensors"))
    networks = Networks(config)
    network = networks.baseline(0)
    own = network.state_dict()
    for name, tensor in trained.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(own[name], tensor)
    assert own["head.weight"].shape[0] == 10
    resting = networks.pretrained(network)
    assert "one.conv1.weight" in resting
    assert not any(name.startswith("head.") for name in resting)


def test_published_weights_are_asked_for_with_their_own_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torchvision would download is in its cache, as written by this test."""
    import torchvision

    published = torchvision.models.squeezenet1_1()
    url = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(published.state_dict(), cache / url.rpartition("/")[2])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        torchvision.models._api.WeightsEnum,
        "get_state_dict",
        lambda self, *_, **__: torch.load(cache / self.url.rpartition("/")[2], weights_only=True),
    )
    config = small(model="squeezenet1_1", weights="DEFAULT", input="3x64x64")
    network = Networks(config).baseline(0)
    assert network.classifier[1].out_channels == 10
    assert torch.equal(network.features[0].weight, published.features[0].weight)


@pytest.mark.parametrize("change", ["missing", "another"])
def test_weights_of_another_network(change: str, tmp_path: Path) -> None:
    network = Tiny(width=12) if change == "another" else nn.Sequential(nn.Linear(2, 2))
    config = small(weights=file_of(network, tmp_path / "w.safetensors"))
    with pytest.raises(InputError, match="do not fit the network"):
        Networks(config).baseline(0)


def test_weights_that_are_no_file() -> None:
    with pytest.raises(InputError, match=r"there is no file nowhere\.pth"):
        Networks(small(weights="nowhere.pth"))
