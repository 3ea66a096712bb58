"""What PyTorch's tracer cannot follow, and is followed all the same."""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from bamctl import analyze
from bamctl.errors import InputError
from bamctl.tracing import _stand_ins as stand_ins
from bamctl.tracing.trace import trace
from tests.networks import Residual


class Coupled(Function):
    """An additive coupling, computed without keeping what is between."""

    @staticmethod
    def forward(ctx: object, x: Tensor, f: nn.Module, *weights: Tensor) -> Tensor:
        ctx.wants = ctx.needs_input_grad[0]
        ctx.save_for_backward(x)
        a, b = x.chunk(2, 1)
        return torch.cat((a, b + f(a)), 1)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class Doubled(Function):
    """With its context set up apart."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x + x

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return 2 * grad


class Coupling(nn.Module):
    """Two convolutions that run inside of a custom function."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.f = nn.Sequential(nn.Conv2d(half, half, 3, 1, 1), nn.Conv2d(half, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        return Coupled.apply(Doubled.apply(x), self.f, *self.f.parameters())


class Reversible(nn.Sequential):
    def __init__(self) -> None:
        convs = [nn.Conv2d(i, o, 3, 2, 1) for i, o in ((3, 8), (8, 16), (16, 32))]
        super().__init__(convs[0], Coupling(8), convs[1], Coupling(16), convs[2], Coupling(32))


def test_modules_inside_a_custom_function_are_seen() -> None:
    found = analyze(Reversible(), input_shape=(3, 32, 32))
    # Half of the channels go through a 3x3 and a 1x1 convolution, at half the side each time.
    couplings = [(c // 2) ** 2 * 10 * side**2 for c, side in ((8, 16), (16, 8), (32, 4))]
    convs = [i * o * 9 * side**2 for i, o, side in ((3, 8, 16), (8, 16, 8), (16, 32, 4))]
    assert found.trace.macs[""] == sum(couplings) + sum(convs)
    assert [found.trace.macs[name] for name in ("1", "3", "5")] == couplings
    assert found.trace.elementwise_ops["1"] == 8 * 256 + 4 * 256
    assert found.trace.uncounted == {}
    assert found.strategies["block"].modules == ["1", "3", "5"]


def test_recomputed_blocks_are_seen() -> None:
    class Recomputed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.block, x, use_reentrant=True)

    assert trace(Recomputed(), (3, 8, 8)).macs == {"": 3 * 4 * 64, "block": 3 * 4 * 64}


def test_a_function_under_another_name_is_refused_in_a_line() -> None:
    apply = Coupled.apply

    class Renamed(Coupling):
        def forward(self, x: Tensor) -> Tensor:
            return apply(x, self.f, *self.f.parameters())

    with pytest.raises(InputError, match=r"call `Function\.apply` where it is used \(in 1\)") as e:
        trace(nn.Sequential(nn.Conv2d(3, 8, 3), Renamed(8)), (3, 8, 8))
    assert "unordered_map" not in str(e.value)


class Unpooling(nn.Module):
    """The encoder-decoder of SegNet, with a check of its own on a size."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = Residual(3), Residual(3)
        self.up2, self.up1 = Residual(3), Residual(3)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        torch._check(x.shape[-1] % 4 == 0, lambda: "an odd size")
        x, first = self.pool(self.down1(x))
        x, second = self.pool(self.down2(x))
        return self.up1(self.unpool(self.unpool(self.up2(x), second), first))


def test_max_unpooling_is_traced() -> None:
    found = analyze(Unpooling(), input_shape=(3, 16, 16))
    assert found.strategies["bottleneck"].modules == ["down1", "down2"]
    assert found.trace.macs[""] == 2 * 81 * (16**2 + 8**2 + 4**2 + 16**2)
    assert found.trace.uncounted == {}


def test_a_check_that_fails_says_so() -> None:
    with pytest.raises(InputError, match="cannot run on a 3x18x18 input: an odd size"):
        trace(Unpooling(), (3, 18, 18))


def test_nothing_stays_behind() -> None:
    before = Function.__dict__["apply"], torch._check_with
    with stand_ins.installed():
        x = torch.ones(2, requires_grad=True)
        # Who traces nothing has the true one, with gradients.
        assert Doubled.apply(x).grad_fn is not None
        with pytest.raises(TypeError, match="cond must be a bool"):
            torch._check(torch.tensor(True))
    assert (Function.__dict__["apply"], torch._check_with) == before
