"""Closed forms against hand-made numbers, built modules, and tensors really kept."""

import itertools

import pytest
import torch

from bamctl import BAM, Placement, analyze
from bamctl.attention.bam.cost import bam_cost
from bamctl.networks import models
from bamctl.networks.memory import kept_for_backward, on_meta
from bamctl.placement.cost import place
from bamctl.surgery.insert import insert_sites
from bamctl.tracing.trace import trace
from bamctl.trunk.feature_maps import FeatureMap
from bamctl.trunk.layouts import Layout, Nchw, Nhwc, Tokens
from bamctl.trunk.traced import TracedNetwork
from tests.networks import ChannelsLastTrunk, Unseen

PAPER = {
    "reduction": 16,
    "dilated_convs": 2,
    "branches": "both",
    "combine": "sum",
    "variant": "paper",
    "init": "kaiming",
}
GRID = [
    dict(zip(("branches", "combine", "variant", "init", "dilated_convs"), values, strict=True))
    for values in itertools.product(
        ("both", "channel", "spatial"),
        ("sum", "product", "max"),
        ("paper", "official"),
        ("kaiming", "identity"),
        (0, 2),
    )
]


def test_by_hand_at_the_first_bottleneck_of_resnet50() -> None:
    cost = bam_cost(FeatureMap(Nchw(), 256, (56, 56)), **PAPER)
    pixels = 56 * 56
    assert cost.params == 17_747
    assert cost.macs == 2 * 256 * 16 + pixels * (256 * 16 + 2 * 9 * 16 * 16 + 16)
    # Mean, two norms, ReLUs of 16 once and of 16 maps three times; sum, sigmoid, product and sum.
    gate = 256 * pixels
    assert cost.elementwise_ops == gate + 256 + pixels + 16 + 3 * 16 * pixels + 4 * gate
    # The result and three hidden maps; pooled and hidden channels.
    assert cost.memory_bytes == 4 * (gate + 3 * 16 * pixels + 256 + 16)


@pytest.mark.parametrize("layout", [Nchw(), Nhwc(), Tokens((6, 5), 1)], ids=lambda x: x.name)
def test_parameters_and_memory_of_every_variant(layout: Layout) -> None:
    at = FeatureMap(layout, 48, (6, 5))
    for values in GRID:
        cost = bam_cost(at, reduction=8, **values)
        bam = BAM(48, reduction=8, layout=layout, **values)
        assert cost.params == sum(parameter.numel() for parameter in bam.parameters()), values
        kept = kept_for_backward(bam.to("meta"), at.shape)
        assert cost.memory_bytes == kept, values


@pytest.mark.parametrize("model", [Unseen, ChannelsLastTrunk])
@pytest.mark.parametrize("attention", [*GRID[::5], {"module": "extra-block"}])
def test_every_variant_costs_what_a_retrace_counts(
    model: type, attention: dict[str, object]
) -> None:
    network, shape = model(), (3, 32, 24)
    traced = TracedNetwork.of(network, shape)
    before, trunk = traced.trace, traced.trunk
    for init in ("kaiming", "identity"):
        placement = Placement(where=trunk.blocks[-1].module, attention=attention | {"init": init})
        placed = place(placement, traced)
        added = placed.total
        changed = model()
        insert_sites(changed, placed.sites)
        after = trace(changed, shape)
        assert after.params - before.params == added.params
        assert after.macs[""] - before.macs[""] == added.macs
        assert after.elementwise_ops[""] - before.elementwise_ops[""] == added.elementwise_ops


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("resnet18", "bam"),
        ("densenet121", "bam"),
        ("swin_t", "bam"),
        ("mobilenet_v3_small", "bam"),
        ("resnet18", "extra-block"),
        ("swin_t", "extra-block"),
    ],
)
def test_memory_is_what_the_whole_network_keeps_more(name: str, module: str) -> None:
    """Saved by autograd with the modules in their network, less without them."""
    model, shape = models.build(name, initialize=False), (3, 64, 64)
    placement = Placement(where="bottleneck", attention={"module": module})
    traced = TracedNetwork.of(model, shape)
    placed = place(placement, traced)
    plain = kept_for_backward(on_meta(model), shape)
    assert traced.memory_bytes == plain
    insert_sites(model, placed.sites)
    assert kept_for_backward(on_meta(model), shape) - plain == placed.total.memory_bytes


def test_memory_follows_the_precision() -> None:
    whole = analyze(Unseen(), input_shape=(3, 32, 32)).strategies["block"].total
    half = analyze(Unseen().half(), input_shape=(3, 32, 32)).strategies["block"].total
    assert whole.memory_bytes == 2 * half.memory_bytes
    assert whole.params == half.params


def test_memory_is_what_a_training_step_keeps() -> None:
    """The same count on real tensors, with real data, as autograd packs them."""
    bam, x = BAM(64).train(), torch.randn(4, 64, 10, 12, requires_grad=True)
    known = {t.untyped_storage().data_ptr() for t in (x, *bam.parameters(), *bam.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        pack(bam(x))
    size = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in known)
    per_image = bam_cost(FeatureMap(Nchw(), 64, (10, 12)), **PAPER).memory_bytes
    assert size == 4 * per_image
