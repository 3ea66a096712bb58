"""BAM against its equations, its published sizes, and a plain retelling of both variants."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bamctl import BAM


def num_params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def reference(bam: BAM, x: Tensor, variant: str, combine: str, dilation: int) -> Tensor:
    """The equations of section 3 of the paper, written out with functions, in eval mode."""

    def norm(layer: nn.Module, y: Tensor) -> Tensor:
        return F.batch_norm(y, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    channel = F.linear(x.mean((2, 3)), bam.channel.reduce.weight, bam.channel.reduce.bias)
    if variant == "official":
        channel = norm(bam.channel.norm, channel)
    channel = F.linear(F.relu(channel), bam.channel.expand.weight, bam.channel.expand.bias)
    if variant == "paper":
        channel = norm(bam.channel.norm, channel)

    def conv(name: str, y: Tensor, **options: int) -> Tensor:
        layer = bam.spatial.get_submodule(name)
        y = F.conv2d(y, layer.weight, layer.bias, **options)
        if variant == "official":
            y = norm(bam.spatial.get_submodule(f"{name}_norm"), y)
        return F.relu(y)

    spatial = conv("reduce", x)
    for index in (0, 1):
        spatial = conv(f"dilated_{index}", spatial, dilation=dilation, padding=dilation)
    spatial = F.conv2d(spatial, bam.spatial.collapse.weight, bam.spatial.collapse.bias)
    if variant == "paper":
        spatial = norm(bam.spatial.norm, spatial)
    channel, spatial = channel[:, :, None, None].expand_as(x), spatial.expand_as(x)
    combined = {
        "sum": channel + spatial,
        "product": channel * spatial,
        "max": torch.max(channel, spatial),
    }[combine]
    return x + x * torch.sigmoid(combined)


def shaken(bam: BAM) -> BAM:
    """The module with every weight and running statistic random, so that none is neutral."""
    with torch.no_grad():
        for tensor in (*bam.parameters(), *bam.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 1.0)
    return bam


@pytest.mark.parametrize("combine", ["sum", "product", "max"])
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_computes_the_equations(variant: str, combine: str) -> None:
    bam = shaken(BAM(32, reduction=8, dilation=3, variant=variant, combine=combine)).eval()
    x = torch.randn(2, 32, 9, 7)
    assert torch.allclose(bam(x), reference(bam, x, variant, combine, 3), atol=1e-6)


def test_variants_combine_as_they_were_published() -> None:
    assert BAM(16).combine == "sum"
    assert BAM(16, variant="official").combine == "product"
    assert BAM(16, variant="official", combine="max").combine == "max"


# By hand at C=256, r=16, h=16: linear 4,112 + 4,352; convolutions 4,112 + 2 x 2,320 + 17; batch
# norm 2 x 256 + 2 in the paper's places, 2 x 16 + 3 x 2 x 16 in the released code's.
@pytest.mark.parametrize(("variant", "expected"), [("paper", 17_747), ("official", 17_361)])
def test_number_of_parameters(variant: str, expected: int) -> None:
    assert num_params(BAM(256, variant=variant)) == expected


def test_fewer_channels_than_the_reduction_leave_one_hidden_channel() -> None:
    bam = BAM(8, reduction=16)
    assert bam.channel.reduce.out_features == 1
    assert bam(torch.randn(2, 8, 5, 5)).shape == (2, 8, 5, 5)


@pytest.mark.parametrize("branches", ["channel", "spatial"])
def test_one_branch_alone_makes_the_gate(branches: str) -> None:
    bam = BAM(16, branches=branches).eval()
    kept = {"channel": bam.channel, "spatial": bam.spatial}
    assert [name for name, branch in kept.items() if branch is not None] == [branches]
    x = torch.rand(2, 16, 6, 5) + 0.5
    with torch.no_grad():
        gate = bam(x) / x - 1
    # A channel gate is the same at all pixels, a spatial gate the same for all channels.
    spread = gate.flatten(2).std(2) if branches == "channel" else gate.std(1)
    assert float(spread.max()) < 1e-5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_number_of_dilated_convolutions(count: int) -> None:
    bam = BAM(32, dilated_convs=count)
    dilated = [m for m in bam.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert [layer.dilation for layer in dilated] == [(4, 4)] * count
    assert bam(torch.randn(2, 32, 7, 7)).shape == (2, 32, 7, 7)


def test_output_is_one_to_two_times_the_input() -> None:
    x = torch.rand(4, 32, 8, 8) + 0.1
    ratio = BAM(32)(x).detach() / x
    assert float(ratio.min()) >= 1
    assert float(ratio.max()) <= 2


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_initialization(variant: str) -> None:
    bam = BAM(512, reduction=2, variant=variant)
    for layer in bam.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert not bool(layer.bias.any())
        if isinstance(layer, nn.Conv2d) and layer.out_channels > 1:
            fan_out = layer.out_channels * layer.kernel_size[0] ** 2
            assert float(layer.weight.detach().std()) == pytest.approx(
                (2 / fan_out) ** 0.5, rel=0.02
            )
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert torch.equal(layer.weight, torch.ones_like(layer.weight))
            assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_identity_init_changes_no_bit_and_trains(variant: str) -> None:
    bam = BAM(32, variant=variant, init="identity")
    x = torch.randn(2, 32, 6, 6)
    y = bam(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert float(bam.scale.grad.abs()) > 0


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("shape", [(1, 16, 5, 5), (1, 16, 1, 1)])
def test_batch_of_one_in_training_uses_running_statistics(
    variant: str, shape: tuple[int, ...]
) -> None:
    bam = shaken(BAM(16, variant=variant))
    norm = bam.channel.norm
    mean = norm.running_mean.clone()
    y = bam.train()(torch.randn(shape))
    assert bool(y.isfinite().all())
    assert torch.equal(norm.running_mean, mean)
    bam(torch.randn(2, *shape[1:]))
    assert not torch.equal(norm.running_mean, mean)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    bam = BAM(32).to(dtype).eval()
    x = torch.randn(2, 32, 6, 6, dtype=dtype)
    expected = BAM(32).eval()
    expected.load_state_dict({k: v.float() for k, v in bam.state_dict().items()}, strict=True)
    y = bam(x)
    assert y.dtype == dtype
    assert torch.allclose(y.float(), expected(x.float()), rtol=0.02, atol=0.02)


def test_autocast_gives_nearly_the_same() -> None:
    bam, x = BAM(32).eval(), torch.randn(2, 32, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = bam(x)
    assert torch.allclose(y.float(), bam(x), rtol=0.03, atol=0.03)


def test_channels_last_stays_channels_last() -> None:
    bam = BAM(32).eval()
    x = torch.randn(2, 32, 6, 5)
    y = bam.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(y, bam(x), atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("variant", "init"), list(itertools.product(["paper", "official"], ["kaiming", "identity"]))
)
def test_symbolic_trace_keeps_the_mode_open(variant: str, init: str, training: bool) -> None:
    bam = BAM(16, variant=variant, init=init).train(training)
    graph = torch.fx.symbolic_trace(bam)
    x = torch.randn(1, 16, 5, 5)
    assert torch.equal(graph(x), bam(x))
    assert torch.equal(graph.train(not training)(x), bam.train(not training)(x))


@pytest.mark.parametrize(
    "wrong", [{"num_channels": 0}, {"reduction": 0}, {"dilation": 0}, {"dilated_convs": -1}]
)
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        BAM(**{"num_channels": 16, **wrong})


def test_gradients_are_right() -> None:
    bam = shaken(BAM(4, reduction=2, dilation=1, dilated_convs=1)).double().eval()
    x = torch.randn(2, 4, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(bam, (x,))
