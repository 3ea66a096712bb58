"""How networks are made ready to be timed."""

import pytest
import torch
from torch import nn

from bamctl import Placement
from bamctl.errors import InputError
from bamctl.networks.inputs import read
from bamctl.placement.sites import resolve
from bamctl.timing import setup as setups
from bamctl.timing.measured import with_sites
from bamctl.timing.setup import Setup, prepared, repeated
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk
from tests.networks import Unseen

GIVEN = read((3, 32, 32))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def test_a_network_without_gradients_cannot_be_timed_in_training() -> None:
    with pytest.raises(InputError, match="none of its outputs has a gradient"):
        setups.loss([torch.zeros(2, 3), torch.zeros(())])


def test_copies_share_what_the_networks_share() -> None:
    base = Unseen()
    sites = resolve(Placement(where="block"), find_trunk(base, trace(base, GIVEN)))
    first, second = prepared([base, with_sites(base, sites)], GIVEN, Setup(dtype="bf16"))
    assert first.entry.weight is second.entry.weight
    assert first.entry.weight is not base.entry.weight
    assert {p.dtype for p in second.parameters()} == {torch.bfloat16}
    assert not any("inserted" in name for name, _ in first.named_parameters())


def test_copies_have_statistics_of_their_own() -> None:
    own = network()
    first, second = prepared([own, own], GIVEN, Setup(train=True))
    first(torch.randn(2, 3, 32, 32))
    assert int(first[1].num_batches_tracked) == 1
    assert int(second[1].num_batches_tracked) == int(own[1].num_batches_tracked) == 0


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_memory_format_of_weights_and_images(memory_format: str) -> None:
    setup = Setup(memory_format=memory_format)
    (ready,) = prepared([network()], GIVEN, setup)
    (images,) = setups.arguments(ready, GIVEN, 2, setup)
    kind = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    assert ready[0].weight.is_contiguous(memory_format=kind)
    assert images.is_contiguous(memory_format=kind)


def test_fused_networks_have_no_batch_norm() -> None:
    (ready,) = prepared([network()], GIVEN, Setup(fuse=True))
    assert [type(layer).__name__ for layer in ready] == ["Conv2d", "Identity", "ReLU"]


def test_a_training_step_leaves_gradients() -> None:
    setup = Setup(train=True)
    (ready,) = prepared([network()], GIVEN, setup)
    step = repeated(ready, setups.arguments(ready, GIVEN, 2, setup), setup)
    step()
    first = [parameter.grad.clone() for parameter in ready.parameters()]
    step()
    # They are those of one step, not of two.
    assert all(bool(gradient.any()) for gradient in first[2:])
    for gradient, parameter in zip(first, ready.parameters(), strict=True):
        assert torch.allclose(gradient, parameter.grad, atol=1e-6)


def test_a_compiled_network_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []

    def compile_nothing(given: nn.Module) -> object:
        compiled.append(given)
        return torch.compiler.disable(given)

    monkeypatch.setattr(torch, "compile", compile_nothing)
    setup = Setup(compile=True)
    (ready,) = prepared([network()], GIVEN, setup)
    repeated(ready, setups.arguments(ready, GIVEN, 1, setup), setup)()
    assert compiled == [ready]


def test_images_are_the_same_on_every_run() -> None:
    ready = network()
    first, second = (setups.arguments(ready, GIVEN, 2, Setup())[0] for _ in range(2))
    assert torch.equal(first, second)
    assert first.std() > 0.9
