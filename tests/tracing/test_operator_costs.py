"""The table of operators: every one has one cost, and none is there twice."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bamctl.tracing import operator_costs
from bamctl.tracing._mac_formulas import FORMULAS
from bamctl.tracing.operators import OPERATORS
from bamctl.tracing.trace import trace


def test_every_formula_has_a_row() -> None:
    with_macs = {name for name, kind in OPERATORS.items() if kind.cost == "macs"}
    assert set(FORMULAS) <= with_macs
    assert set(operator_costs.handles()) >= {n for n, kind in OPERATORS.items() if kind.cost}


class Calls(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        # Each on an image of 3x8x8, which has 192 elements.
        (torch.relu, 192),
        (lambda x: x + x, 192),
        (lambda x: x.mean((2, 3)), 192),
        (lambda x: nn.functional.max_pool2d(x, 2), 192),
        (lambda x: nn.functional.interpolate(x, scale_factor=2), 4 * 192),
        (lambda x: torch.addcmul(x, x, x), 2 * 192),
        (lambda x: x.flatten(1).softmax(1), 192),
        (lambda x: x.permute(0, 2, 3, 1).contiguous(), 0),
        (lambda x: x[:, :, ::2], 0),
    ],
)
def test_elementwise_operations_by_hand(function: object, ops: int) -> None:
    traced = trace(Calls(function), (3, 8, 8))
    assert traced.elementwise_ops[""] == ops
    assert traced.macs[""] == 0
    assert traced.uncounted == {}


def counted_by_pytorch(model: nn.Module, *shape: int) -> int:
    # It knows none of the operators of oneDNN, which runs some recurrent layers.
    plain = torch.backends.mkldnn.flags(enabled=False)
    with plain, torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2


KERNEL = torch.ones(5, 3, 3, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.conv2d(x, KERNEL, padding="same"),
        lambda x: F.conv2d(x, KERNEL, padding="same", dilation=3),
        lambda x: F.conv2d(x, KERNEL, padding="valid", stride=2),
        lambda x: F.conv2d(x, KERNEL[:3, :1], padding="same", groups=3),
        lambda x: F.conv2d(x[0], KERNEL, padding=1),
        lambda x: F.conv1d(x.flatten(2), KERNEL[..., 0], padding="same"),
        lambda x: F.conv3d(x[:, :, None], KERNEL[:, :, None], padding="valid"),
        lambda x: F.conv3d(x[:, :, None], KERNEL[:, :, None], padding=1),
        lambda x: F.conv_transpose2d(x, KERNEL[:3], stride=2),
        lambda x: F.conv_transpose2d(x, KERNEL[:3, :1], groups=3),
        lambda x: F.conv_transpose1d(x.flatten(2), KERNEL[:3, ..., 0], stride=2),
        lambda x: F.conv_transpose3d(x[:, :, None], KERNEL[:3, :, None]),
        lambda x: F.linear(x, torch.ones(4, 8)),
        lambda x: F.linear(x, torch.ones(4, 8), torch.ones(4)),
        lambda x: F.linear(x[0, 0, 0], torch.ones(4, 8)),
        lambda x: x @ x.transpose(-1, -2),
        lambda x: x @ x[:, :1],
        lambda x: x[:, :1] @ x,
        lambda x: torch.mm(x[0, 0], x[0, 1]),
        lambda x: torch.bmm(x[0], x[0]),
        lambda x: torch.addmm(x[0, 0], x[0, 0], x[0, 0, :, :8]),
        lambda x: torch.baddbmm(x[0], x[0], x[0]),
        lambda x: torch.inner(x, x[0, 0]),
        lambda x: torch.tensordot(x, x, dims=([1, 3], [1, 2])),
        lambda x: torch.linalg.multi_dot([x[0, 0], x[0, 1, :, :2], x[0, 1, :2]]),
        lambda x: torch.einsum("nchw,ncwv->nchv", x, x),
        lambda x: torch.einsum("...hw,...wv->...hv", x, x[:, :1]),
        lambda x: torch.einsum("nchw,dc", x, x[0, 0, :, :3]),
        lambda x: torch.einsum("nchw,nchw->n", x, x),
        lambda x: torch.einsum("nchw,vw->v", x, x[0, 0]),
        lambda x: torch.einsum("chw,wv,vu->chu", x[0], x[0, 0], x[0, 1, :, :2]),
        lambda x: torch.einsum("nchw->nhwc", x),
        lambda x: torch.einsum("c,h->ch", x[0, :, 0, 0], x[0, 0, :, 0]),
    ],
)
def test_products_are_what_pytorch_counts(function: Callable) -> None:
    model = Calls(function)
    traced = trace(model, (3, 8, 8))
    assert traced.macs[""] == counted_by_pytorch(model, 3, 8, 8)
    assert traced.uncounted == {}


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        # PyTorch's counter knows none of these; each is on an image of 3x8x8.
        (lambda x: torch.mv(x[0, 0], x[0, 0, 0]), 8 * 8),
        (lambda x: x[0] @ x[0, 0, 0], 3 * 8 * 8),
        (lambda x: torch.dot(x[0, 0, 0], x[0, 0, 1]).reshape(1), 8),
        (lambda x: torch.vdot(x[0, 0, 0], x[0, 0, 1]).reshape(1), 8),
        (lambda x: torch.linalg.vecdot(x, x), 3 * 8 * 8),
        (lambda x: torch.addmv(x[0, 0, 0], x[0, 0], x[0, 0, 1]), 8 * 8),
        (lambda x: torch.addbmm(x[0, 0], x[0], x[0]), 3 * 8 * 8 * 8),
        (lambda x: F.bilinear(x[0, 0], x[0, 1], torch.ones(5, 8, 8)), 8 * 5 * (8 * 8 + 8)),
        # One of 3 steps is left by 3 taps; a batch of 8, from 8 channels to 2.
        (lambda x: torch.conv_tbc(x[0], torch.ones(3, 8, 2), torch.ones(2)), 8 * 2 * 3 * 8),
        (lambda x: torch.linalg.multi_dot([x[0, 0, 0], x[0, 0], x[0, 0, 0]]), 64 + 8),
        (
            lambda x: torchvision.ops.deform_conv2d(x, torch.zeros(1, 18, 6, 6), KERNEL),
            5 * 36 * 27,
        ),
    ],
)
def test_products_by_hand(function: Callable, macs: int) -> None:
    traced = trace(Calls(function), (3, 8, 8))
    assert traced.macs[""] == macs
    assert traced.uncounted == {}


class Sequence(nn.Module):
    """Rows of an image, one after the other."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1, 2))[0]


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(8, 7, batch_first=True),
        nn.LSTM(8, 7, 2, bidirectional=True, proj_size=3, batch_first=True),
        nn.GRU(8, 7, 2, bias=False),
        nn.RNN(8, 7),
        nn.RNN(8, 7, nonlinearity="relu"),
    ],
    ids=str,
)
def test_recurrent_layers_are_what_pytorch_counts(layer: nn.Module) -> None:
    model = Sequence(layer)
    traced = trace(model, (3, 8, 8))
    assert traced.macs[""] == counted_by_pytorch(model, 3, 8, 8)
    assert traced.uncounted == {}


@pytest.mark.parametrize(
    "function",
    [
        *(getattr(nn, f"{kind}Dropout")(0.2) for kind in ("", "Alpha", "FeatureAlpha")),
        *(getattr(nn, f"Dropout{axes}d")(0.2) for axes in (2, 3)),
        *(getattr(nn, f"{kind}Dropout")(0.2, True) for kind in ("", "Alpha", "FeatureAlpha")),
        *(getattr(nn, f"Dropout{axes}d")(0.2, True) for axes in (2, 3)),
        lambda x: F.dropout1d(x.flatten(2), 0.2, training=False),
        lambda x: x.flatten(1).reshape_as(x),
        lambda x: x.flatten(1).view_as(x),
        lambda x: x[:, :1].expand_as(x),
        lambda x: x.clone().squeeze_().unsqueeze_(0).transpose_(0, 1),
        lambda x: F.pad(x, (1, 1, 2, 0), mode="reflect"),
        lambda x: F.pad(x, (1, 1, 2, 0), mode="replicate"),
        lambda x: F.pad(x, (1, 1, 2, 0), mode="circular"),
        lambda x: F.channel_shuffle(x, 3),
        lambda x: x.sort(dim=1).values,
        lambda x: x.gather(1, x.argmax(1, keepdim=True)),
        lambda x: x.masked_fill(x > 0, 0.0).triu(),
        lambda x: torch.hstack([x, x.mT.swapaxes(1, 2).swapaxes(1, 2)]),
        lambda x: x + torch.randn_like(x).fill_(0) if x.numel() < 0 else torch.rand_like(x),
    ],
    ids=lambda function: str(function) if isinstance(function, nn.Module) else None,
)
def test_what_computes_nothing_is_free(function: Callable) -> None:
    traced = trace(Calls(function), (3, 8, 8))
    assert (traced.macs[""], traced.elementwise_ops[""], traced.uncounted) == (0, 0, {})


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "exp", "sin", "neg", "round", "atan", "frac"])
def test_an_operator_in_place_costs_what_the_plain_one_does(kind: str) -> None:
    plain, in_place = (
        trace(Calls(lambda x, name=name: getattr(x.clone(), name)()), (3, 8, 8))
        for name in (kind, f"{kind}_")
    )
    assert plain.elementwise_ops[""] == in_place.elementwise_ops[""] == 192
    assert plain.uncounted == in_place.uncounted == {}


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_padding_in_words_is_a_convolution_as_any_other(padding: str) -> None:
    """A convolution that pads as much in numbers makes the same trace."""
    numbers = {"same": 2, "valid": 0}[padding]
    one, other = (
        trace(nn.Conv2d(3, 4, 3, padding=each, dilation=2), (3, 8, 8))
        for each in (padding, numbers)
    )
    assert [o.kind for o in one.operators] == [o.kind for o in other.operators]
    assert [o.ints for o in one.operators] == [o.ints for o in other.operators]
    assert one.macs_by_operator == other.macs_by_operator
