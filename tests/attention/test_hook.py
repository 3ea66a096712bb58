"""Attaching and detaching, with the network's own hooks left alone."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from bamctl.networks.inserted import attach, detach, detached, is_attached


def test_detaching_leaves_other_hooks() -> None:
    host, calls = nn.ReLU(), []
    host.register_forward_hook(lambda *_: calls.append("own"))
    attach(host, nn.Flatten())
    assert is_attached(host)
    assert host(torch.zeros(2, 3, 4)).shape == (2, 12)
    detach(host)
    assert not is_attached(host)
    assert host(torch.zeros(2, 3, 4)).shape == (2, 3, 4)
    assert calls == ["own", "own"]


def test_detached_is_over_after_the_block() -> None:
    model = nn.Sequential(nn.ReLU())
    attach(model[0], nn.Flatten())
    with detached(model):
        assert model(torch.zeros(2, 3, 4)).shape == (2, 3, 4)
    assert model(torch.zeros(2, 3, 4)).shape == (2, 12)


class Collecting(nn.Module):
    """Hands on what hooks of its own collect, as transformers do with hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), nn.ReLU())
        self.kept: dict[str, Tensor] = {}
        for name in ("0", "1"):
            self.body[int(name)].register_forward_hook(Keep(self.kept, name))

    def forward(self, x: Tensor) -> Tensor:
        self.body(x)
        return self.kept["1"]


class Keep:
    def __init__(self, kept: dict[str, Tensor], name: str) -> None:
        self.kept, self.name = kept, name

    def __call__(self, module: nn.Module, given: object, output: Tensor) -> None:
        self.kept[self.name] = output


def refined(model: nn.Module) -> bool:
    return model(torch.zeros(2, 3, 4)).shape == (2, 12)


@pytest.mark.parametrize(
    "passed_through",
    [
        lambda model: model,
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: copy.deepcopy(pickle.loads(pickle.dumps(copy.deepcopy(model)))),
    ],
    ids=["itself", "deepcopy", "pickle", "all"],
)
def test_the_networks_own_hooks_see_the_refined_output(passed_through: Callable) -> None:
    model = Collecting()
    attach(model.body[1], nn.Flatten())
    model = passed_through(model)
    assert refined(model)
    with detached(model):
        assert not refined(model)
    assert refined(model)
    detach(model)
    assert not refined(model)
    attach(model.body[1], nn.Flatten())
    assert refined(model)


def test_a_host_that_is_inserted_twice_keeps_the_order() -> None:
    host, x = nn.Identity(), torch.zeros(2, 3, 4)
    attach(host, nn.Unflatten(1, (3, 4)))
    attach(host, nn.Flatten())  # attached last, runs first
    assert host(x).shape == (2, 3, 4)
    with detached(host):
        pass
    assert host(x).shape == (2, 3, 4)


def test_hooks_that_the_network_adds_while_detached_stay() -> None:
    host, calls = nn.ReLU(), []
    attach(host, nn.Flatten())
    with detached(host):
        host.register_forward_hook(lambda *called: calls.append(called[-1].shape))
    host(torch.zeros(2, 3, 4))
    assert calls == [(2, 12)]


def test_a_hook_keeps_its_number_in_another_process(forked: Callable) -> None:
    """PyTorch numbers hooks per process, and one of the same number would take its place."""
    result = forked(
        "import pickle, sys, torch\n"
        "from torch import nn\n"
        "from torch.utils.hooks import RemovableHandle\n"
        "from bamctl.networks.inserted import attach\n"
        "RemovableHandle.next_id = 1000\n"
        "host = nn.ReLU(); attach(host, nn.Flatten())\n"
        "file = pickle.dumps(host)\n"
        "RemovableHandle.next_id = 1000\n"
        "host = pickle.loads(file)\n"
        "host.register_forward_hook(lambda *_: None)\n"
        "print(tuple(host(torch.zeros(2, 3, 4)).shape))\n"
    )
    assert result.stdout == "(2, 12)\n", result.stderr


@dataclass(frozen=True)
class Levels:
    fine: Tensor
    coarse: Tensor


class TwoLevels(nn.Module):
    def forward(self, x: Tensor) -> Levels:
        return Levels(x, x)


def test_an_attribute_of_a_plain_object_is_refined() -> None:
    host = TwoLevels()
    attach(host, nn.Flatten(), "coarse")
    found = host(torch.zeros(2, 3, 4))
    assert isinstance(found, Levels)
    assert (found.fine.shape, found.coarse.shape) == ((2, 3, 4), (2, 12))
