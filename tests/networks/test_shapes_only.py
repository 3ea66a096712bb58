"""A trace without numbers is the plain trace, node for node, and nobody else sees a difference."""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bamctl import analyze
from bamctl.networks import models
from bamctl.networks.shapes_only import NumbersNeededError, ShapesOnly, has_no_weights
from bamctl.tracing import trace as tracing

NETWORKS = {
    "resnet18": (3, 64, 64),
    "mobilenet_v3_small": (3, 64, 64),
    "googlenet": (3, 64, 64),
    "densenet121": (3, 64, 64),
    "regnet_y_400mf": (3, 64, 64),
    "swin_t": (3, 64, 64),
    "swin_v2_t": (3, 64, 64),
    "maxvit_t": (3, 224, 224),
    "vit_b_32": (3, 64, 64),
    "lraspp_mobilenet_v3_large": (3, 64, 64),
    "quantized_shufflenet_v2_x0_5": (3, 64, 64),
    "r3d_18": (3, 4, 32, 32),
    "raft_small": (3, 128, 128),
    # Its heads do what they see, so there the plain trace is what is taken.
    "fasterrcnn_mobilenet_v3_large_320_fpn": (3, 160, 160),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_trace_is_the_plain_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two networks, since a detector remembers the anchors of its first image.
    given = NETWORKS[name]
    one, other = (models.build(name, inputs=given, initialize=False) for _ in range(2))
    assert has_no_weights(one)
    found = tracing.trace(one, given)
    monkeypatch.setattr(tracing, "has_no_weights", lambda model: False)
    assert found == tracing.trace(other, given)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "regnet_y_400mf"])
def test_the_trace_is_that_of_the_network_with_weights(name: str) -> None:
    bare, whole = (
        tracing.trace(models.build(name, inputs=(3, 64, 64), initialize=initialize), (3, 64, 64))
        for initialize in (False, True)
    )
    assert bare == whole


def test_weights_take_no_memory() -> None:
    """A RegNet plans its blocks with tensors, whose values it needs."""
    model = models.build("regnet_y_128gf", initialize=False)
    assert sum(p.numel() for p in model.parameters()) == 644_812_894
    tensors = (*model.parameters(), *model.buffers())
    assert sum(tensor.untyped_storage().nbytes() for tensor in tensors) < 10e6


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d"])
def test_convolutions_have_the_right_shape(kind: str, groups: int) -> None:
    layer = getattr(nn, kind)(4, 6, 3, stride=2, padding=1, groups=groups)
    x = torch.zeros(2, 4, *(5, 6, 7)[: int(kind[-2])])
    with torch.no_grad():
        expected = layer(x)
        with ShapesOnly():
            found = layer(x)
    assert (found.shape, found.stride()) == (expected.shape, expected.stride())


MISFITS = {
    "channels": lambda x: F.conv2d(x, torch.zeros(4, 5, 3, 3)),
    "channels of a transposed one": lambda x: F.conv_transpose2d(x, torch.zeros(5, 4, 3, 3)),
    "bias": lambda x: F.conv2d(x, torch.zeros(4, 3, 3, 3), torch.zeros(3)),
    "precision": lambda x: F.conv2d(x, torch.zeros(4, 3, 3, 3, dtype=torch.double)),
    "precision of a product": lambda x: x @ torch.zeros(8, 2, dtype=torch.double),
    "kernel": lambda x: F.conv2d(x, torch.zeros(4, 3, 9, 9)),
    "matrices": lambda x: x @ torch.zeros(7, 2),
    "batches": lambda x: torch.bmm(x[0], torch.zeros(2, 8, 8)),
    "linear": lambda x: F.linear(x, torch.zeros(4, 7), torch.zeros(4)),
    "added to a product": lambda x: torch.addmm(torch.zeros(3), x[0, 0], x[0, 1]),
    "batch norm": lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4)),
    "layer norm": lambda x: F.layer_norm(x, (7,)),
    "sum": lambda x: x + torch.zeros(7),
    "product in place": lambda x: x.mul_(torch.zeros(2, 3, 8, 8)),
    "attention": lambda x: F.scaled_dot_product_attention(x, x[..., :4], x),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_refused_as_ever(name: str) -> None:
    """In the words of PyTorch, where the input is known and where its numbers are arbitrary."""
    call, x = MISFITS[name], torch.zeros(1, 3, 8, 8)
    with torch.no_grad():
        with pytest.raises(RuntimeError) as expected:
            call(x)
        for weight in (None, torch.zeros(3, 3, 1, 1)):
            with ShapesOnly():
                given = x if weight is None else F.conv2d(x, weight)
                with pytest.raises(RuntimeError) as found:
                    call(given)
            assert str(found.value) == str(expected.value)


def test_other_threads_compute_as_ever() -> None:
    layer, x, found = nn.Linear(64, 64), torch.randn(8, 64), []
    expected = layer(x)
    with ShapesOnly():
        thread = threading.Thread(target=lambda: found.append(layer(x)))
        thread.start()
        thread.join()
        own = layer(x)
    assert torch.equal(found[0], expected)
    assert not torch.equal(own, expected)


def test_arbitrary_numbers_decide_nothing() -> None:
    layer = nn.Conv2d(3, 4, 3)
    with torch.no_grad(), ShapesOnly():
        y = layer(torch.zeros(1, 3, 8, 8)).relu().mean()
        for read in (bool, float, torch.nonzero):
            with pytest.raises(NumbersNeededError):
                read(y)
        with pytest.raises(NumbersNeededError):
            torch.ones(3)[y.reshape(1) > 0]
        # What does not follow from them may.
        assert float(torch.ones(3).sum()) == 3.0
        assert y.expand(3)[torch.tensor([True, False, True])].shape == (2,)


def test_networks_with_weights_are_run_in_full() -> None:
    """One that reads its own result, in a way that no operator tells of."""

    class Listens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            nn.init.zeros_(self.conv.weight)
            nn.init.ones_(self.conv.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            assert x.mean((2, 3)).tolist() == [[1.0] * 4]
            return x

    assert analyze(Listens(), input_shape=(3, 8, 8)).trace.macs[""] == 36 * 4 * 27
