"""Every layout computes what NCHW computes on the same data rearranged."""

import pytest
import torch
from torch import Tensor

from bamctl import BAM
from bamctl.attention.layouts import Nchw, Nhwc, Tokens


@pytest.mark.parametrize("init", ["kaiming", "identity"])
@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize(
    ("layout", "rearrange"),
    [
        (Nhwc(), lambda x: x.permute(0, 2, 3, 1)),
        (Tokens((5, 7)), lambda x: x.flatten(2).transpose(1, 2)),
    ],
    ids=["nhwc", "tokens"],
)
def test_computes_what_nchw_computes(
    layout: Nhwc | Tokens, rearrange: object, variant: str, init: str
) -> None:
    plain = BAM(12, reduction=4, variant=variant, init=init).eval()
    other = BAM(12, reduction=4, variant=variant, init=init, layout=layout).eval()
    other.load_state_dict(plain.state_dict())
    x = torch.randn(2, 12, 5, 7)
    y = other(rearrange(x))
    assert y.shape == rearrange(x).shape
    assert torch.allclose(y, rearrange(plain(x)), atol=1e-6)


def test_prefix_tokens_pass_unchanged() -> None:
    bam = BAM(12, layout=Tokens((3, 4), num_prefix_tokens=2)).eval()
    x = torch.randn(2, 2 + 12, 12)
    y = bam(x)
    assert torch.equal(y[:, :2], x[:, :2])
    patches = x[:, 2:].reshape(2, 3, 4, 12).permute(0, 3, 1, 2)
    plain = BAM(12).eval()
    plain.load_state_dict(bam.state_dict())
    expected = plain(patches).permute(0, 2, 3, 1).reshape(2, 12, 12)
    assert torch.allclose(y[:, 2:], expected, atol=1e-6)


@pytest.mark.parametrize("layout", [Nchw(), Nhwc(), Tokens((3, 4), 1)], ids=lambda x: x.name)
def test_shape_is_that_of_the_tensor(layout: Nchw | Nhwc | Tokens) -> None:
    x: Tensor = torch.zeros(1, *layout.shape(8, (3, 4)))
    assert BAM(8, layout=layout).eval()(x).shape == x.shape
    assert layout.to_channels_first(x).shape == (1, 8, 3, 4)


def test_another_number_of_tokens_is_refused() -> None:
    with pytest.raises(RuntimeError):
        BAM(8, layout=Tokens((3, 4), 1))(torch.zeros(2, 20, 8))
