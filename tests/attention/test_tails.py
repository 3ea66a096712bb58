"""Branches whose last layers run again in the backward pass: who may see that, and who must not."""

import copy

import pytest
import torch
from torch import Tensor, nn

from bamctl import BAM
from bamctl.trunk.layouts import Ncdhw
from tests.benchmarks.module import SHAPES, kept_share


def refined(bam: BAM, x: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """The result, and the gradients of the input and of every parameter."""
    given = x.clone().requires_grad_()
    bam.zero_grad(set_to_none=True)
    y = bam(given)
    y.square().sum().backward()
    return y.detach(), [given.grad, *(p.grad for p in bam.parameters())]


def whole(bam: BAM) -> BAM:
    """The same module, with a hook that has its branches run whole and be kept as usual."""
    same = copy.deepcopy(bam)
    for branch in (same.channel, same.spatial):
        branch.register_forward_hook(lambda module, inputs, output: None)
    return same


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("shape", [(3, 32, 5, 4), (1, 32, 5, 4), (1, 32, 1, 1), (2, 32, 3, 5, 4)])
def test_as_if_all_were_kept(shape: tuple[int, ...], variant: str, training: bool) -> None:
    bam = BAM(32, variant=variant, layout=Ncdhw() if len(shape) == 5 else None).train(training)
    usual = whole(bam)
    for _ in range(2):
        x = torch.randn(shape)
        (y, grads), (expected, wanted) = refined(bam, x), refined(usual, x)
        assert torch.equal(y, expected)
        assert all(torch.equal(*pair) for pair in zip(grads, wanted, strict=True))
    # The statistics have moved once for each pass.
    state = usual.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in bam.state_dict().items())


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_what_is_kept_is_a_fifth_of_the_input(shape: tuple[int, int]) -> None:
    # Three maps of C / 16 channels, 0.1875 of the input, and little more.
    assert 0.18 < kept_share(shape, num_images=2) <= 0.20


def test_frozen_layers_get_no_gradient() -> None:
    bam, x = BAM(32), torch.randn(3, 32, 5, 5)
    expected = refined(whole(bam), x)[1]
    frozen = ("channel.expand", "spatial")
    for name, parameter in bam.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    grads = refined(bam, x)[1]
    assert torch.equal(grads[0], expected[0])
    for (name, parameter), wanted in zip(bam.named_parameters(), expected[1:], strict=True):
        found = parameter.grad
        assert found is None if name.startswith(frozen) else torch.equal(found, wanted)


def test_hooks_of_the_last_layers_see_each_pass_once() -> None:
    bam, seen = BAM(32), []
    bam.spatial.norm.register_forward_hook(lambda module, inputs, output: seen.append("forward"))
    bam.channel.norm.register_full_backward_hook(lambda *given: seen.append("backward"))
    refined(bam, torch.randn(3, 32, 5, 5))
    assert seen == ["forward", "backward"]


def test_a_weight_changed_between_the_passes_is_noticed() -> None:
    bam = BAM(32)
    y = bam(torch.randn(3, 32, 5, 5, requires_grad=True))
    with torch.no_grad():
        bam.spatial.collapse.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_another_layer_in_its_place_is_run_as_it_is() -> None:
    """`convert_sync_batchnorm` and users put in layers whose second run might not be the first."""
    bam = BAM(32)
    bam.spatial.norm = nn.Dropout(0.5)
    y, grads = refined(bam, torch.randn(3, 32, 5, 5))
    assert y.isfinite().all()
    assert all(grad is not None for grad in grads)
