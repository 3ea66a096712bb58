"""timm's networks, of families that torchvision does not have."""

import sys

import pytest
import torch

from bamctl import Placement, insert, remove
from bamctl.errors import InputError
from bamctl.networks import models
from bamctl.networks.inputs import read
from bamctl.placement.sites import resolve
from bamctl.surgery.proof import prove
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk

# The stages of each, as its paper draws them; the last map before each drop.
BOTTLENECKS = {
    "timm:poolformer_s12": ["stages.0", "stages.1", "stages.2"],
    "timm:repvgg_a0": ["stages.0", "stages.1", "stages.2"],
    "timm:edgenext_xx_small": ["stages.0", "stages.1", "stages.2"],
    # Groups 3, 5 and 7 begin with a stride of two.
    "timm:ghostnet_100": ["blocks.2", "blocks.4", "blocks.6"],
    # Tokens, pooled where transformers 1 and 2 begin; each returns class tokens beside the map, so
    # the point is the series of blocks inside.
    "timm:pit_ti_224": ["transformers.0.blocks", "transformers.1.blocks"],
    "timm:davit_tiny": ["stages.0", "stages.1", "stages.2"],
}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_a_family_of_its_own(name: str) -> None:
    inputs = models.default_inputs(name) if name.endswith("224") else read((3, 64, 64))
    model = models.build(name, inputs=inputs, num_classes=5).eval()
    trunk = find_trunk(model, trace(model, inputs))
    sites = resolve(Placement(), trunk)
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    insert(model, Placement(attention={"init": "identity"}), input_shape=inputs)
    assert prove(model, inputs).output_change == 0
    remove(model)
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in weights.items())
    assert [site.point.module for site in sites] == BOTTLENECKS[name]


def test_default_input_is_what_the_weights_expect() -> None:
    assert models.default_inputs("timm:edgenext_xx_small") == read((3, 256, 256))
    assert models.default_inputs("timm:vit_tiny_patch16_384") == read((3, 384, 384))


def test_a_network_of_one_size_is_built_for_the_input() -> None:
    model = models.build("timm:vit_tiny_patch16_224", inputs=(3, 64, 96)).eval()
    assert model(torch.zeros(1, 3, 64, 96)).shape == (1, 1000)


def test_keyword_arguments_are_passed_on() -> None:
    model = models.build("timm:resnet18", args={"in_chans": 1}, num_classes=3).eval()
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timm:resnet5O", {}, "timm has no model 'resnet5O' .did you mean 'resnet50'"),
        ("timm:resnet18", {"stem": "small"}, "--stem small is only for torchvision's models"),
        ("timm:resnet18", {"args": {"colour": 1}}, "cannot build timm:resnet18"),
        ("timm:resnet18", {"args": {"checkpoint_path": "w.pth"}}, "pass a file to --weights"),
        ("timm:resnet18", {"args": {"pretrained_cfg": {"file": "w.pth"}}}, "to --weights"),
        ("timm:resnet18", {"weights": "no_such_tag"}, "timm:resnet18"),
    ],
)
def test_what_cannot_be_built_is_refused(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        models.build(name, **options)


def test_without_timm_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'bamctl\[timm\]'"):
        models.build("timm:resnet18")
