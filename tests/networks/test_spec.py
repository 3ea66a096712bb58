"""A network by its name and options: what it is built as, and when two are the same."""

import pickle
import subprocess
import sys

import pytest
import torch

from bamctl import Placement, analyze
from bamctl.errors import InputError
from bamctl.networks.inputs import read
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.placement import json_schema
from bamctl.training.config import TrainingConfig
from bamctl.training.recipe import Recipe
from tests.training.conftest import small

FIELDS = ["model", "args", "input", "num_classes", "stem"]
SMALL = {"model": "resnet18", "input": "3x32x32", "num_classes": 10, "stem": "small"}


def test_it_builds_what_it_says() -> None:
    network = NetworkSpec(**SMALL, args={"zero_init_residual": True}).build(initialize=False)
    assert network.fc.out_features == 10
    assert network.conv1.stride == (1, 1)
    with pytest.raises(InputError, match="nonsense"):
        NetworkSpec(**SMALL, args={"nonsense": 1}).build(initialize=False)


def test_its_inputs_are_those_of_the_weights_where_none_are_given() -> None:
    # By torchvision's documentation: Inception was trained on 299 pixels, ResNet on 224.
    assert NetworkSpec(model="inception_v3").inputs == read("3x299x299")
    assert NetworkSpec(model="resnet18").inputs == read("3x224x224")
    assert NetworkSpec(model="inception_v3", input=[3, 75, 75]).inputs == read("3x75x75")


def test_a_network_of_one_size_is_built_for_its_inputs() -> None:
    # 16 patches of 16 pixels and a class token, each with a position.
    network = NetworkSpec(model="vit_b_16", input="3x64x64").build(initialize=False)
    assert network.encoder.pos_embedding.shape == (1, 17, 768)


def test_weights_are_initialized_unless_they_do_not_matter() -> None:
    spec = NetworkSpec(**SMALL)
    assert bool(spec.build().conv1.weight.any())
    assert not spec.build(initialize=False).conv1.weight.any()


@pytest.mark.parametrize("ask", [lambda spec: spec.build(), lambda spec: spec.inputs])
def test_what_names_no_network_is_refused(ask: object) -> None:
    with pytest.raises(InputError, match="no model: add `model: resnet50`"):
        ask(NetworkSpec())
    with pytest.raises(InputError, match=r"unknown model 'resnet5O' .did you mean 'resnet50'"):
        ask(NetworkSpec(model="resnet5O"))


def test_equal_networks_have_one_key_and_others_another() -> None:
    base = {"model": "nets:Net", "args": {"a": 1, "b": [2]}, "input": "3x32x32"}
    spec = NetworkSpec(**base)
    assert NetworkSpec(**{**base, "args": {"b": [2], "a": 1}}).key == spec.key
    assert Placement(**base, where="block", stages="all", budget={"params": "1 M"}).key == spec.key
    others = [
        {"args": {"a": True, "b": [2]}},
        {"args": {"a": 1.0, "b": [2]}},
        {"args": {"a": 1}},
        {"input": "3x32x32:float64"},
        {"input": ["3x32x32", "3x32x32"]},
        {"num_classes": 2},
        {"stem": "small"},
        {"model": "nets:net"},
    ]
    keys = {NetworkSpec(**{**base, **other}).key for other in others}
    assert len(keys | {spec.key}) == 1 + len(others)


def test_placements_and_trainings_have_its_fields_flat_and_in_their_old_order() -> None:
    # As placement files were written before there was this type.
    written = {
        "schema": 1,
        "model": "resnet18",
        "input": "3x32x32",
        "num_classes": 10,
        "stem": "small",
        "stages": 3,
    }
    text = Placement(**SMALL).as_written()
    del text["attention"]
    assert list(text.items()) == list(written.items())
    assert list(json_schema()["properties"])[:6] == ["schema", *FIELDS]
    config = TrainingConfig(**SMALL, recipe=Recipe(steps=1, lr=0.1, eval_every=1), seeds=[0])
    assert list(config.model_dump())[:6] == ["schema_version", *FIELDS]
    assert config.spec == Placement(**SMALL).spec == NetworkSpec(**SMALL)


def test_a_training_is_of_one_network_with_its_input_and_classes() -> None:
    for missing in ("model", "input", "num_classes"):
        given = {name: value for name, value in SMALL.items() if name != missing}
        with pytest.raises(ValueError, match=missing):
            TrainingConfig(**given, recipe=Recipe(steps=1, lr=0.1, eval_every=1), seeds=[0])


def test_a_placement_moves_to_another_network() -> None:
    own = {"model": "vgg11", "args": {"dropout": 0.1}, "budget": {"macs": "1 GMACs"}}
    placement = Placement(**own, where="block")
    moved = placement.with_network(small())
    assert moved.spec == small().spec
    assert (moved.where, moved.budget) == (placement.where, placement.budget)
    assert placement.without_network() == Placement(where="block")
    assert placement.without_network().model_fields_set == {"where"}


def test_python_may_give_a_builder_any_argument() -> None:
    found = analyze("resnet18", input_shape=(3, 32, 32), args={"norm_layer": torch.nn.Identity})
    plain = analyze("resnet18", input_shape=(3, 32, 32))
    # ResNet-18 has 20 batch norms, of 4800 channels together.
    assert plain.trace.params - found.trace.params == 2 * 4800


def test_it_travels_between_processes() -> None:
    spec = NetworkSpec(**SMALL, args={"a": [1, None]})
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_neither_a_spec_nor_a_placement_imports_torch() -> None:
    code = (
        "import sys; from bamctl.placement.placement import Placement\n"
        "from bamctl.networks.spec import *\n"
        "Placement(model='resnet18').spec.key; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
