"""The trace: figures derived by hand, nothing dropped, and the network left as it was found."""

import copy

import pytest
import torch
from torch import Tensor, nn

from bamctl.errors import BamctlError, InputError
from bamctl.tracing.trace import trace
from tests.networks import Reused, Unseen


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, groups=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.norm(self.conv(x))))
        return self.head(x.mean((2, 3)))


def test_figures_derived_by_hand() -> None:
    found = trace(ByHand(), (3, 6, 4))
    assert found.params == (8 * 3 * 9 + 8) + 2 * 8 + (8 * 5 + 5)
    assert found.macs_by_operator == {"convolution": 24 * 8 * 27, "linear": 40}
    assert found.macs[""] == 24 * 8 * 27 + 40
    assert found.macs["conv"] == 24 * 8 * 27
    # Batch norm and activation by output element; pooling and mean by input element.
    assert found.elementwise_ops[""] == 24 * 8 + 24 * 8 + 24 * 8 + 6 * 8
    assert found.elementwise_ops["norm"] == 24 * 8
    assert found.uncounted == {}


def attention(need_weights: bool) -> nn.Module:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2)
            return self.attention(x, x, x, need_weights=need_weights)[0]

    return Attention()


# 12 tokens of width 16: four projections of 16 x 16 each, and two products of 12 x 12 x 16.
ATTENTION_MACS = 4 * 12 * 16 * 16 + 2 * 12 * 12 * 16


def test_fused_attention_has_a_formula() -> None:
    found = trace(attention(need_weights=False), (16, 3, 4))
    assert found.macs_by_operator == {"multi_head_attention": ATTENTION_MACS}
    assert found.elementwise_ops[""] == 4 * 12 * 12


def test_scaled_dot_product_attention_has_a_formula() -> None:
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        found = trace(attention(need_weights=False), (16, 3, 4))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert "scaled_dot_product_attention" in found.macs_by_operator
    assert found.macs[""] == ATTENTION_MACS


def test_fused_encoder_layer_counts_what_its_parts_count() -> None:
    class Encoder(nn.Module):
        """The fused operator itself: the module of it falls back to its parts when hooked."""

        def __init__(self, fused: bool) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(16, 4, 40, batch_first=True)
            self.fused = fused

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2)
            if not self.fused:
                return self.layer(x)
            layer, attention = self.layer, self.layer.self_attn
            return torch._transformer_encoder_layer_fwd(
                x,
                16,
                4,
                attention.in_proj_weight,
                attention.in_proj_bias,
                attention.out_proj.weight,
                attention.out_proj.bias,
                False,
                False,
                1e-5,
                layer.norm1.weight,
                layer.norm1.bias,
                layer.norm2.weight,
                layer.norm2.bias,
                layer.linear1.weight,
                layer.linear1.bias,
                layer.linear2.weight,
                layer.linear2.bias,
            )

    fused, parts = (trace(Encoder(fused), (16, 3, 4)) for fused in (True, False))
    assert list(fused.macs_by_operator) == ["transformer_encoder_layer"]
    assert "linear" in parts.macs_by_operator
    assert fused.macs[""] == parts.macs[""] == ATTENTION_MACS + 2 * 12 * 16 * 40
    assert fused.elementwise_ops[""] == parts.elementwise_ops[""]
    assert fused.uncounted == parts.uncounted == {}


def test_an_operator_without_a_formula_is_listed() -> None:
    class Fourier(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft2(x).abs()

    assert trace(Fourier(), (3, 8, 8)).uncounted == {"aten::fft_fft2": 1}


def test_module_calls_tell_what_each_returned() -> None:
    found = trace(Reused(), (3, 8, 8))
    calls = [call for call in found.calls if call.module in ("entry", "act", "twice", "down")]
    assert [call.module for call in calls] == ["entry", "act", "twice", "twice", "down", "act"]
    entry, act, first, second, *_ = calls
    assert act.input == entry.output
    assert second.input == first.output != second.output
    assert found.shapes[second.output] == (1, 8, 4, 4)


class Stateful(nn.Module):
    """Counts its calls in a buffer, draws random numbers, and may fail half-way."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.frozen = nn.BatchNorm2d(4).eval()
        self.register_buffer("calls", torch.zeros(1))
        self.fails = fails

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = self.frozen(self.norm(self.conv(x + torch.rand(1))))
        if self.fails:
            raise RuntimeError("no second half")
        return x


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was_found(fails: bool) -> None:
    model, calls = Stateful(fails), []
    model.conv.register_forward_hook(lambda *_: calls.append(1))
    before = copy.deepcopy(model.state_dict())
    modes = {name: module.training for name, module in model.named_modules()}
    hooks = {name: dict(module._forward_hooks) for name, module in model.named_modules()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    if fails:
        with pytest.raises(InputError, match="no second half"):
            trace(model, (3, 4, 4))
    else:
        trace(model, (3, 4, 4))
    assert torch.equal(torch.rand(1), expected)
    assert {name: module.training for name, module in model.named_modules()} == modes
    for name, module in model.named_modules():
        assert dict(module._forward_hooks) == hooks[name]
        assert not module._forward_pre_hooks
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_two_traces_of_one_network_are_equal() -> None:
    model = Unseen()
    assert trace(model, (3, 32, 32)) == trace(model, (3, 32, 32))


def test_half_precision_networks_are_traced_as_they_are() -> None:
    found = trace(ByHand().to(torch.bfloat16), (3, 6, 4))
    assert found.dtype == torch.bfloat16
    assert found.macs[""] == 24 * 8 * 27 + 40


def test_an_input_that_does_not_fit_is_said_in_one_line() -> None:
    with pytest.raises(InputError, match=r"Unseen cannot run on a 1x32x32 input") as error:
        trace(Unseen(), (1, 32, 32))
    assert "\n" not in str(error.value)


class Counting(nn.Module):
    """Puts another tensor in its buffer's place, and gives its layer the input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return self.conv(input=x)


def test_buffers_that_are_replaced_are_put_back() -> None:
    model = Counting()
    calls = model.calls
    traced = trace(model, (3, 8, 8))
    assert model.calls is calls
    assert float(calls) == 0
    assert next(call for call in traced.calls if call.module == "conv").input is not None


def test_what_cannot_be_traced_is_said() -> None:
    with pytest.raises(InputError, match=r"has uninitialized \(lazy\) layers; run it once"):
        trace(nn.Sequential(nn.LazyConv2d(4, 3)), (3, 8, 8))
    with pytest.raises(BamctlError, match="cannot run on a 3x900000x900000 input: not enough"):
        trace(nn.Conv2d(3, 4, 3), (3, 900_000, 900_000))
