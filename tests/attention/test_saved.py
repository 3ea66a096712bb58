"""What the version before wrote is read: pickled networks, weights and placements."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bamctl import Placement, insert, remove
from bamctl.weights import checkpoints

SAVED = Path(__file__).parent / "saved"
NAMES = sorted(path.stem for path in SAVED.glob("*.yaml"))


def pickled(name: str) -> dict[str, Any]:
    with gzip.open(SAVED / f"{name}.pt.gz") as file:
        found: dict[str, Any] = torch.load(file, weights_only=False)
    return found


def plain(name: str) -> nn.Module:
    return remove(pickled(name)["network"])


def test_there_is_one_of_each() -> None:
    assert NAMES == ["bam", "channels-last", "extra-block", "official", "video"]


@pytest.mark.parametrize("name", NAMES)
def test_a_pickled_network_computes_what_it_did(name: str) -> None:
    found = pickled(name)
    torch.testing.assert_close(found["network"](found["x"]), found["y"])


@pytest.mark.parametrize("name", NAMES)
def test_weights_with_their_placement_make_the_network_again(name: str) -> None:
    found = pickled(name)
    own = tuple(found["x"].shape[1:])
    network = insert(plain(name), SAVED / f"{name}.safetensors", input_shape=own)
    torch.testing.assert_close(network.eval()(found["x"]), found["y"])


@pytest.mark.parametrize("name", NAMES)
def test_a_placement_means_the_same_modules(name: str) -> None:
    found = pickled(name)
    own = tuple(found["x"].shape[1:])
    network = insert(plain(name), SAVED / f"{name}.yaml", input_shape=own)
    before = {key: value.shape for key, value in found["network"].state_dict().items()}
    assert {key: value.shape for key, value in network.state_dict().items()} == before
    written = checkpoints.read(SAVED / f"{name}.safetensors").placement
    assert written is not None
    assert written.attention.module == Placement.load(SAVED / f"{name}.yaml").attention.module
