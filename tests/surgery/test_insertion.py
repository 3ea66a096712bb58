"""An insertion with its costs and its proof."""

import pytest
import torch

from bamctl import Placement
from bamctl.errors import InputError
from bamctl.surgery.insertion import insert_and_prove
from tests.networks import Unseen

SHAPE = (3, 32, 32)


def test_sites_costs_and_proof_belong_together() -> None:
    model = Unseen()
    before = sum(parameter.numel() for parameter in model.parameters())
    done = insert_and_prove("unseen", model, Placement(where="bottleneck"), SHAPE)
    after = sum(parameter.numel() for parameter in model.parameters())
    assert done.placed.modules == ["alpha", "beta.1"]
    assert done.placed.total.params == after - before == done.proof.num_params_with_gradient
    assert done.trace.params == before
    assert done.proof.output_shapes == {"": (1, 5)}


def test_the_placement_names_every_site_with_its_overrides() -> None:
    wanted = Placement(where="bottleneck", insertions={"alpha": {"reduction": 2}})
    named = insert_and_prove("unseen", Unseen(), wanted, SHAPE).placement
    assert named.where == ["alpha", "beta.1"]
    assert {name: own.reduction for name, own in named.insertions.items()} == {"alpha": 2}


def test_weights_of_the_backbone_or_of_everything_are_loaded() -> None:
    placement, source = Placement(where="bottleneck"), Unseen()
    insert_and_prove("unseen", source, placement, SHAPE)
    state = source.state_dict()
    for kept in (lambda key: True, lambda key: not key.startswith("inserted.")):
        model = Unseen()
        weights = {key: tensor for key, tensor in state.items() if kept(key)}
        insert_and_prove("unseen", model, placement, SHAPE, weights)
        assert all(torch.equal(model.state_dict()[key], value) for key, value in weights.items())


def test_half_of_an_attention_module_is_refused() -> None:
    source = Unseen()
    insert_and_prove("unseen", source, Placement(where="bottleneck"), SHAPE)
    state = source.state_dict()
    del state[next(key for key in state if key.startswith("inserted."))]
    with pytest.raises(InputError, match="1 missing: inserted"):
        insert_and_prove("unseen", Unseen(), Placement(where="bottleneck"), SHAPE, state)


def test_nothing_to_insert_needs_no_proof() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1))
    done = insert_and_prove("flat", model, Placement(where="bottleneck"), SHAPE)
    assert done.proof is None
    assert done.placed.sites == ()
