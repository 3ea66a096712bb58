"""The lean operators against plain ones: values, every kind of gradient, and whatever looks on."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from bamctl import BAM
from bamctl.attention import _lean as lean
from bamctl.networks.memory import PeakMemory
from bamctl.trunk.layouts import Ncdhw
from tests.benchmarks.textbook import Textbook

CASES = [
    {"branches": branches, "combine": combine, "init": init}
    for branches, combine, init in itertools.product(
        ("both", "channel", "spatial"), ("sum", "product", "max"), ("kaiming", "identity")
    )
]
every_case = pytest.mark.parametrize("options", CASES, ids=lambda o: "-".join(o.values()))


def small(**options: str) -> BAM:
    """In double precision, with every weight and statistic random, so that none is neutral."""
    bam = BAM(4, reduction=2, dilation=1, dilated_convs=1, **options).double()
    with torch.no_grad():
        for tensor in (*bam.parameters(), *bam.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 1.0)
    return bam


def image(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.double, requires_grad=True)


def of_parameters(bam: BAM, x: Tensor) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """The module as a function of its input and its parameters."""
    names = [name for name, _ in bam.named_parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(bam, dict(zip(names, values, strict=True)), (x,))

    return call, (x, *(each.detach().requires_grad_() for each in bam.parameters()))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One image at a time, as it is with large ones."""
    monkeypatch.setattr(lean, "_BLOCK_BYTES", 1)


@every_case
def test_first_and_second_gradients(options: dict[str, str], small_blocks: None) -> None:
    call, given = of_parameters(small(**options).eval(), image(2, 4, 3, 2))
    assert torch.autograd.gradcheck(call, given)
    assert torch.autograd.gradgradcheck(call, given)
    total = call(*given).square().sum()
    first = torch.autograd.grad(total, given, retain_graph=True)
    again = torch.autograd.grad(total, given, create_graph=True)
    assert all(torch.allclose(*pair) for pair in zip(first, again, strict=True))


def test_gradients_in_training_on_video() -> None:
    bam = small(layout=Ncdhw()).train()
    for norm in (bam.channel.norm, bam.spatial.norm):
        norm.momentum = 0.0
    assert torch.autograd.gradcheck(bam, (image(3, 4, 2, 3, 2),))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_is_the_textbook_form(memory_format: torch.memory_format) -> None:
    lean_form, textbook = BAM(32), Textbook(32)
    textbook.load_state_dict(lean_form.state_dict())
    x = torch.randn(4, 32, 9, 11).to(memory_format=memory_format)
    upstream = torch.randn_like(x)
    found = []
    for module in (lean_form, textbook):
        own = x.clone().requires_grad_()
        y = module(own)
        y.backward(upstream)
        found.append([y.detach(), own.grad, *(p.grad for p in module.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert found[0][0].is_contiguous(memory_format=memory_format)


def test_gradients_where_both_parts_are_as_large() -> None:
    """Each gets half, as from `torch.maximum`."""
    maps = image(2, 3, 2, 2)
    a, b = (torch.zeros(shape, requires_grad=True) for shape in ((2, 3, 1, 1), (2, 1, 2, 2)))
    lean.gated(maps, (a, b), None, "max").sum().backward()
    # The sigmoid's derivative at zero is a quarter.
    assert torch.allclose(a.grad, maps.float().sum((2, 3), keepdim=True) / 8)
    assert torch.allclose(b.grad, maps.float().sum(1, keepdim=True) / 8)


@every_case
def test_autocast(options: dict[str, str]) -> None:
    bam, x = BAM(32, **options), torch.randn(4, 32, 6, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = bam(x)
    y.sum().backward()
    half = x.grad.clone()
    x.grad = None
    bam(x).sum().backward()
    assert y.dtype == half.dtype == torch.float32
    assert float((half - x.grad).norm() / x.grad.norm()) < 0.1


def test_compiled_without_a_break() -> None:
    bam, x = small(), image(2, 4, 4, 4)
    compiled = torch.compile(bam, backend="aot_eager", fullgraph=True)
    (expected,) = torch.autograd.grad(bam(x).square().sum(), x)
    (found,) = torch.autograd.grad(compiled(x).square().sum(), x)
    assert torch.allclose(found, expected)


def test_exported() -> None:
    bam, x = BAM(16, init="identity").eval(), torch.randn(2, 16, 5, 5)
    nn.init.ones_(bam.scale)
    program = torch.export.export(bam, (x,))
    assert torch.allclose(program.module()(x), bam(x), atol=1e-6)
    assert all("bamctl" not in str(node.target) for node in program.graph.nodes)


def test_transforms_of_functions() -> None:
    bam = small().eval()
    x = image(3, 4, 4, 3).detach()
    call, given = of_parameters(bam, x)

    def loss(x: Tensor, *values: Tensor) -> Tensor:
        return call(x[None], *values).square().sum()

    values = tuple(each.detach() for each in given[1:])
    found = torch.func.vmap(torch.func.grad(loss), in_dims=(0, *(None for _ in values)))(x, *values)
    own = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(bam(own).square().sum(), own)
    assert torch.allclose(found, expected)
    tangent = torch.randn_like(x)
    _, forward = torch.func.jvp(bam, (x,), (tangent,))
    assert torch.allclose(forward, torch.autograd.functional.jvp(bam, x, tangent)[1])
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(bam(forward_ad.make_dual(x, tangent)))
        assert torch.allclose(dual.tangent, forward)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointed(use_reentrant: bool) -> None:
    bam, x = small().eval(), image(2, 4, 4, 3)
    (expected,) = torch.autograd.grad(bam(x).square().sum(), x)
    checkpoint(bam, x, use_reentrant=use_reentrant).square().sum().backward()
    assert torch.equal(x.grad, expected)


@every_case
def test_inference_writes_no_large_map_but_the_result(options: dict[str, str]) -> None:
    bam, x = BAM(64, **options).eval(), torch.randn(8, 64, 32, 32)
    with torch.no_grad(), PeakMemory([x, *bam.parameters(), *bam.buffers()]) as memory:
        before = memory.peak_bytes
        y = bam(x)
    # Of four hidden channels, two maps at a time are there; a sixteenth of the result each.
    assert y.nbytes <= memory.peak_bytes - before < 1.3 * y.nbytes


@pytest.mark.parametrize("num_images", [0, 1])
def test_few_images(num_images: int) -> None:
    assert BAM(16).eval()(torch.randn(num_images, 16, 5, 5)).shape == (num_images, 16, 5, 5)
