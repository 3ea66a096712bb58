"""The proof that a network still works."""

import copy

import pytest
import torch

from bamctl import Placement, insert
from bamctl.errors import BamctlError
from bamctl.proof import prove
from tests.networks import Unseen

SHAPE = (3, 32, 32)


def test_a_plain_module_changes_the_output() -> None:
    model = insert(Unseen(), input_shape=SHAPE)
    proof = prove(model, SHAPE)
    assert proof.output_shapes == {"": (1, 5)}
    assert proof.output_change > 0
    assert proof.num_params_with_gradient == sum(p.numel() for p in model.inserted.parameters())


def test_identity_changes_nothing() -> None:
    placement = Placement(attention={"init": "identity"})
    assert prove(insert(Unseen(), placement, input_shape=SHAPE), SHAPE).output_change == 0


def test_the_network_is_left_as_it_was_found() -> None:
    model = insert(Unseen(), input_shape=SHAPE).train()
    state = copy.deepcopy(model.state_dict())
    prove(model, SHAPE)
    assert all(torch.equal(state[key], tensor) for key, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_a_head_at_zero_tells_nothing() -> None:
    model = insert(Unseen(), input_shape=SHAPE)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    assert prove(model, SHAPE).output_change is None


def test_a_broken_network_fails_the_proof() -> None:
    model = insert(Unseen(), input_shape=SHAPE)
    torch.nn.init.constant_(model.inserted["alpha"].channel.reduce.weight, float("nan"))
    with pytest.raises(BamctlError, match="proof failed") as error:
        prove(model, SHAPE)
    assert error.value.exit_code == 3
