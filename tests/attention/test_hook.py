"""Attaching and detaching, with the network's own hooks left alone."""

import torch
from torch import nn

from bamctl.attention.hook import attach, detach, detached, is_attached


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
