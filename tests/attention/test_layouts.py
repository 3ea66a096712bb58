"""Every layout computes what NCHW computes on the same data rearranged."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bamctl import BAM, insert
from bamctl.attention.extra_block import ExtraBlock
from bamctl.trunk.layouts import Layout, Ncdhw, Nchw, Ndhwc, Nhwc, Tokens
from tests.networks import ChannelMixer

settings = pytest.mark.parametrize(
    ("variant", "init"), [(v, i) for v in ("paper", "official") for i in ("kaiming", "identity")]
)


def pair(layout: Layout, like: Layout, **options: str) -> tuple[BAM, BAM]:
    """Two modules with the same weights, the first with statistics that were shaken."""
    one, other = (BAM(12, reduction=4, layout=each, **options).eval() for each in (like, layout))
    for name, tensor in one.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if "running" in name else tensor.normal_(std=0.3)
    return one, other


@settings
@pytest.mark.parametrize(
    ("layout", "like", "rearrange"),
    [
        (Nhwc(), Nchw(), lambda x: x.permute(0, 2, 3, 1)),
        (Tokens((5, 7)), Nchw(), lambda x: x.flatten(2).transpose(1, 2)),
        (Ndhwc(), Ncdhw(), lambda x: x.permute(0, 2, 3, 4, 1)),
        (Tokens((3, 5, 7)), Ncdhw(), lambda x: x.flatten(2).transpose(1, 2)),
    ],
    ids=["nhwc", "tokens", "ndhwc", "video tokens"],
)
def test_computes_the_same_rearranged(
    layout: Layout, like: Layout, rearrange: Callable[[Tensor], Tensor], variant: str, init: str
) -> None:
    plain, other = pair(layout, like, variant=variant, init=init)
    other.load_state_dict(plain.state_dict())
    x = torch.randn(2, 12, *(3, 5, 7)[-like.spatial_axes :])
    y = other(rearrange(x))
    assert y.shape == rearrange(x).shape
    assert torch.allclose(y, rearrange(plain(x)), atol=1e-5)
    assert not torch.equal(plain(x), x)


@settings
def test_a_video_of_one_picture_is_that_picture(variant: str, init: str) -> None:
    """With kernels that look at their own frame only, a still gives what the image gives."""
    image, video = pair(Ncdhw(), Nchw(), variant=variant, init=init)
    state = video.state_dict()
    for name, tensor in image.state_dict().items():
        if tensor.dim() == 4:
            state[name].zero_()
            state[name][:, :, state[name].shape[2] // 2] = tensor
        else:
            state[name].copy_(tensor)
    still = torch.randn(2, 12, 9, 11)
    y = video(still.unsqueeze(2).repeat(1, 1, 4, 1, 1))
    for frame in range(4):
        assert torch.allclose(y[:, :, frame], image(still), atol=1e-5)


def test_frames_are_not_dilated() -> None:
    """Two convolutions reach two frames and twice the dilation of pixels; d = 3 here."""
    bam = BAM(8, dilation=3, branches="spatial", layout=Ncdhw()).eval()
    for parameter in bam.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    x = torch.rand(1, 8, 9, 21, 21, requires_grad=True)
    bam.parts(x)[0][0, 0, 4, 10, 10].backward()
    seen = x.grad[0].abs().sum(0).nonzero()
    low, high = seen.min(0).values.tolist(), seen.max(0).values.tolist()
    assert (low, high) == ([4 - 2, 10 - 6, 10 - 6], [4 + 2, 10 + 6, 10 + 6])
    # Of the pixels between, only every third: 5 frames of 5x5.
    assert len(seen) == 5**3


def test_channels_are_averaged_over_time_and_space() -> None:
    bam = BAM(8, branches="channel", layout=Ncdhw()).eval()
    x = torch.randn(2, 8, 3, 4, 5)
    shuffled = x.flatten(2)[..., torch.randperm(60)].view_as(x)
    (vector,) = bam.parts(x)
    assert torch.allclose(vector, bam.parts(shuffled)[0], atol=1e-6)
    assert vector.shape == (2, 8, 1, 1, 1)


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


@pytest.mark.parametrize(
    "layout",
    [Nchw(), Nhwc(), Tokens((3, 4), 1), Ncdhw(), Ndhwc(), Tokens((2, 3, 4), 1)],
    ids=lambda layout: f"{layout.name}-{layout.spatial_axes}",
)
def test_shape_is_that_of_the_tensor(layout: Layout) -> None:
    extents = (2, 3, 4)[-layout.spatial_axes :]
    x = torch.zeros(1, *layout.shape(8, extents))
    assert BAM(8, layout=layout).eval()(x).shape == x.shape
    assert layout.to_channels_first(x).shape == (1, 8, *extents)


def test_another_number_of_tokens_is_refused() -> None:
    with pytest.raises(RuntimeError):
        BAM(8, layout=Tokens((3, 4), 1))(torch.zeros(2, 20, 8))


def laid_out(shape: tuple[int, ...], order: tuple[int, ...], gap: int = 0) -> Tensor:
    """Random numbers whose axes lie in memory in an order, the last of them with a gap behind."""
    extents = [shape[axis] for axis in order]
    extents[-1] += gap
    x = torch.randn(extents)[..., : shape[order[-1]]]
    return x.permute(*(order.index(axis) for axis in range(len(order))))


@pytest.mark.parametrize("init", ["kaiming", "identity"])
@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize(
    ("layout", "shape", "order"),
    [
        (Nchw(), (2, 8, 3, 4), (0, 1, 2, 3)),
        (Nchw(), (2, 8, 3, 4), (0, 2, 3, 1)),
        (Nchw(), (2, 8, 3, 4), (1, 0, 3, 2)),
        (Nhwc(), (2, 3, 4, 8), (0, 1, 2, 3)),
        (Nhwc(), (2, 3, 4, 8), (0, 3, 1, 2)),
        (Tokens((3, 4)), (2, 12, 8), (0, 1, 2)),
        (Tokens((3, 4)), (2, 12, 8), (0, 2, 1)),
        (Tokens((3, 4)), (2, 12, 8), (1, 0, 2)),
        (Tokens((3, 4), 1), (2, 13, 8), (0, 2, 1)),
        (Tokens((3, 4), 1), (2, 13, 8), (1, 0, 2)),
        (Ncdhw(), (2, 8, 3, 4, 5), (0, 2, 3, 4, 1)),
        (Ndhwc(), (2, 3, 4, 5, 8), (0, 4, 1, 2, 3)),
    ],
)
def test_the_order_of_memory_is_kept(
    layout: Layout, shape: tuple[int, ...], order: tuple[int, ...], gap: int, init: str
) -> None:
    x = laid_out(shape, order, gap)
    y = BAM(8, layout=layout, init=init).eval()(x)
    assert y.shape == x.shape
    assert y.stride() == x.stride()
    assert torch.equal(y, x) is (init == "identity")


def test_a_map_whose_elements_share_memory_is_refined() -> None:
    x = torch.randn(1, 8, 3, 4).expand(2, 8, 3, 4)
    assert torch.equal(BAM(8, init="identity").eval()(x), x)


def test_gradients_go_through_another_order_of_memory() -> None:
    bam = BAM(8, layout=Tokens((3, 4), 1)).eval().double()
    x = torch.randn(2, 8, 13, dtype=torch.double).transpose(1, 2).requires_grad_()
    assert torch.autograd.gradcheck(bam, (x,))


def test_identity_leaves_strided_tokens_bit_for_bit() -> None:
    """A linear layer rounds in another order when it reads another order of memory."""
    torch.manual_seed(0)
    model = PatchMixer().eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        insert(model, {"where": "block", "attention": {"init": "identity"}}, input_shape="3x64x64")
        assert list(model.inserted) == ["one", "two"]
        assert torch.equal(model(x), before)


class PatchMixer(nn.Module):
    """Tokens straight from the patch embedding, whose channels lie apart in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 192, 16, 16)
        self.one, self.two = ChannelMixer(192), ChannelMixer(192)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(self.embed(x).flatten(2).transpose(1, 2))).mean(1)


def test_an_extra_block_keeps_the_order_of_memory() -> None:
    x = torch.randn(2, 8, 13).transpose(1, 2)
    y = ExtraBlock(nn.Linear(8, 8), init="identity")(x)
    assert y.stride() == x.stride()
    assert torch.equal(y, x)
