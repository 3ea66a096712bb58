"""The proof that a network still works."""

import copy

import pytest
import torch
from torch import Tensor, nn

from bamctl import Placement, insert
from bamctl.errors import BamctlError, InputError
from bamctl.surgery.insertion import insert_and_prove
from bamctl.surgery.proof import prove
from tests.networks import Residual, Unseen

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
    assert prove(model, SHAPE).output_change > 0


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


class OneByOne(nn.Sequential):
    """Returns what each of its children made."""

    def forward(self, x: Tensor) -> list[Tensor]:
        made = [x]
        for child in self.children():
            made.append(child(made[-1]))
        return made[1:]


class Scaled(nn.Module):
    """Multiplies by the number of its children."""

    def __init__(self, *children: nn.Module) -> None:
        super().__init__()
        for index, child in enumerate(children):
            self.add_module(f"c{index}", child)

    def forward(self, x: Tensor) -> Tensor:
        for child in self.children():
            x = child(x)
        return x * len(list(self.children()))


@pytest.mark.parametrize("kind", [OneByOne, Scaled])
def test_a_root_that_counts_its_children_is_refused(kind: type[nn.Module]) -> None:
    model = kind(Residual(3, 8, 2), Residual(8, 16, 2), nn.Conv2d(16, 16, 1)).eval()
    keys, expected = list(model.state_dict()), model(torch.ones(1, *SHAPE))
    with pytest.raises(InputError, match=r"changes its output; wrap it in another module"):
        insert(model, input_shape=SHAPE)
    assert list(model.state_dict()) == keys
    assert list(dict(model.named_children())) == list(keys_of_children(keys))
    # What the message says works.
    whole = insert(nn.Sequential(model), {"attention": {"init": "identity"}}, input_shape=SHAPE)
    assert list(whole.inserted)
    found = whole(torch.ones(1, *SHAPE))
    assert len(found) == len(expected)
    assert all(map(torch.equal, found, expected))


def keys_of_children(keys: list[str]) -> dict[str, None]:
    return dict.fromkeys(key.partition(".")[0] for key in keys)


def test_the_proof_compares_how_many_results_there_are() -> None:
    model = OneByOne(Residual(3, 8, 2), Residual(8, 16, 2), nn.Conv2d(16, 16, 1)).eval()
    with pytest.raises(BamctlError, match=r"returned 3 tensors .* before .* and 4 tensors"):
        insert_and_prove("it", model, Placement(where="0"), SHAPE)
