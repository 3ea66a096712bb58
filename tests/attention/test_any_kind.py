"""What survives an insertion, whatever kind of module it is of: copies, files, compilers."""

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bamctl import Placement, insert, remove
from bamctl.export._program import OLDEST_TORCH, is_too_old
from bamctl.networks.memory import kept_for_backward, on_meta
from bamctl.placement.cost import place
from bamctl.tracing.trace import trace
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import checkpoints
from tests.networks import ChannelsLastTrunk, Unseen

SHAPE = (3, 32, 24)
OWN = "tests.attention.squeeze:Bare"
KINDS = [
    {"module": "bam", "reduction": 4},
    {"module": "bam", "variant": "official", "reduction": 4},
    {"module": "extra-block"},
    {"module": "se"},
    {"module": "timm:ese"},
    {"module": "timm:eca"},
    {"module": "timm:cbam", "reduction": 4},
    {"module": "timm:lcbam", "reduction": 4},
    {"module": "timm:gc"},
    {"module": "timm:gca"},
    {"module": "timm:coord"},
    {"module": "timm:nl"},
    {"module": OWN, "args": {"power": 2.0}},
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))


def inserted(kind: dict[str, Any], make: Any = Unseen, init: str = "kaiming") -> nn.Module:
    """A network with a module behind its last block, with random weights, in eval mode."""
    torch.manual_seed(0)
    network = make().eval()
    where = {Unseen: "delta", ChannelsLastTrunk: "mix2"}[make]
    placement = {"where": where, "attention": {**kind, "init": init}}
    insert(network, placement, input_shape=SHAPE)
    for parameter in network.inserted.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


def images(count: int = 2) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))


@kinds
@pytest.mark.parametrize("make", [Unseen, ChannelsLastTrunk])
def test_copies_and_pickles_compute_the_same_apart(kind: dict[str, Any], make: Any) -> None:
    network, x = inserted(kind, make), images()
    expected = network(x)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(x), expected)
        for parameter in other.inserted.parameters():
            nn.init.zeros_(parameter)
    assert torch.equal(network(x), expected)


@kinds
def test_removed_nothing_is_left(kind: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = Unseen().eval()
    network = inserted(kind)
    assert not torch.equal(network(images()), plain(images()))
    remove(network)
    assert list(network.state_dict()) == list(plain.state_dict())
    assert torch.equal(network(images()), plain(images()))


@kinds
def test_weights_come_back_with_their_placement(kind: dict[str, Any], tmp_path: Path) -> None:
    network, path = inserted(kind), tmp_path / "net.safetensors"
    placement = Placement(where="delta", attention=kind, input=SHAPE)
    checkpoints.write(path, network, placement)
    torch.manual_seed(7)
    other = Unseen().eval()
    insert(other, path)
    assert torch.equal(other(images()), network(images()))


@kinds
def test_every_parameter_is_trained_from_the_second_step_of_identity(kind: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = Unseen().eval()
    network = copy.deepcopy(plain)
    insert(
        network, {"where": "delta", "attention": {**kind, "init": "identity"}}, input_shape=SHAPE
    )
    assert torch.equal(network(images()), plain(images()))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network.train()(images(4)).square().mean().backward()
        optimizer.step()
    optimizer.zero_grad()
    network(images(4)).square().mean().backward()
    for name, each in network.inserted.named_parameters():
        assert each.grad is not None, name
        assert bool(each.grad.isfinite().all())
        # A bias before a norm makes no difference.
        assert bool(each.grad.any()) or each.dim() == 1, name


@kinds
def test_compiled_and_exported_it_computes_the_same(kind: dict[str, Any]) -> None:
    network, x = inserted(kind), images()
    with torch.no_grad():
        expected = network(x)
        torch.compiler.reset()
        compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), expected)
        program = torch.export.export(network, (x,))
        torch.testing.assert_close(program.module()(x), expected)


@pytest.mark.skipif(is_too_old(), reason=f"needs torch {OLDEST_TORCH}")
@kinds
def test_onnx_computes_the_same(kind: dict[str, Any], tmp_path: Path) -> None:
    import onnxruntime

    network, x, path = inserted(kind), images(1), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(found, network(x).detach().numpy(), rtol=1e-3, atol=1e-4)


@kinds
@pytest.mark.parametrize("init", ["kaiming", "identity"])
def test_memory_is_what_the_whole_network_keeps_more(kind: dict[str, Any], init: str) -> None:
    plain = Unseen()
    traced = TracedNetwork.of(plain, SHAPE)
    placement = Placement(where="beta.1", attention={**kind, "init": init})
    placed = place(placement, traced)
    network = copy.deepcopy(plain)
    insert(network, placement, input_shape=SHAPE)
    before, after = (kept_for_backward(on_meta(each), SHAPE) for each in (plain, network))
    assert after - before == placed.total.memory_bytes


def test_what_no_formula_counts_is_listed() -> None:
    plain = Unseen()
    placement = Placement(where="delta", attention={"module": "tests.attention.squeeze:Spectral"})
    traced = TracedNetwork.of(plain, SHAPE)
    assert traced.trace.uncounted == {}
    found = place(placement, traced).total.uncounted
    assert {"aten::fft_rfft2", "aten::fft_irfft2"} <= set(found)


TOKENS = "timm:vit_tiny_patch16_224"
VIDEO = "r3d_18"


@pytest.mark.parametrize("kind", ["bam", "se", "timm:cbam", "timm:eca", "timm:gc", OWN])
@pytest.mark.parametrize(
    ("model", "where", "shape"),
    [(TOKENS, "blocks.1", (3, 32, 32)), (VIDEO, "layer1.0", (3, 4, 16, 16))],
)
def test_tokens_and_video(kind: str, model: str, where: str, shape: tuple[int, ...]) -> None:
    """Costs are those of a retrace; identity is to the bit."""
    from bamctl.networks import models

    torch.manual_seed(0)
    network = models.build(model, inputs=shape, num_classes=4).eval()
    traced = TracedNetwork.of(network, shape)
    x = torch.rand(1, *shape)
    expected = network(x)
    for init in ("identity", "kaiming"):
        placement = Placement(where=where, attention={"module": kind, "init": init})
        added = place(placement, traced).total
        insert(network, placement, input_shape=shape)
        assert torch.equal(network(x), expected) == (init == "identity")
        after = trace(network, shape)
        assert after.params - traced.trace.params == added.params
        assert after.macs[""] - traced.trace.macs[""] == added.macs
        assert after.elementwise_ops[""] - traced.trace.elementwise_ops[""] == added.elementwise_ops
        remove(network)


def test_frames_of_a_video_are_taken_one_by_one() -> None:
    """A module for images gives each frame what it would alone; one of 3-D convolutions, all."""
    from torchvision.ops import SqueezeExcitation

    from bamctl.attention.wrapped.module import Wrapped
    from bamctl.trunk.layouts import Ncdhw

    torch.manual_seed(0)
    module = SqueezeExcitation(8, 2)
    video = torch.rand(2, 8, 3, 5, 4)
    found = Wrapped(module, layout=Ncdhw(), by_frame=True)(video)
    for frame in range(3):
        torch.testing.assert_close(found[:, :, frame], module(video[:, :, frame]))
