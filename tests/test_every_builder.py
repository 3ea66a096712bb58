"""The main job on all of torchvision's builders, one test case each."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from bamctl import Placement, analyze, remove
from bamctl.networks import torchvision_models
from bamctl.networks.example import arguments, is_detector, training_arguments
from bamctl.networks.inputs import Inputs
from bamctl.networks.structures import tensors
from bamctl.placement.cost import PlacementCost, placement_cost
from bamctl.placement.sites import resolve
from bamctl.surgery.insert import insert_sites
from bamctl.tracing.operators import OPERATORS
from bamctl.tracing.trace import Trace, trace
from bamctl.trunk.traced import TracedNetwork
from tests.builders import CLASSIFICATION, FAMILIES, NAMES, build, small_inputs

T = TypeVar("T")


def test_there_are_a_hundred_and_twenty_one() -> None:
    assert Counter(torchvision_models.families().values()) == {
        "classification": 80,
        "quantization": 12,
        "segmentation": 6,
        "detection": 12,
        "video": 9,
        "optical_flow": 2,
    }
    assert torchvision_models.families() == dict(sorted(FAMILIES.items()))


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_figures_are_the_published_ones(name: str) -> None:
    """At the crop of the default weights, whose parameters and multiply-adds are published."""
    found, published = shallow(analyze, name), torchvision_models.published(name)
    assert found.trace.params == published["num_params"]
    # Published in 1e9 with three decimals: half of the last digit is all that can be asked.
    gmacs = published["_ops"]
    assert found.trace.macs[""] / 1e9 == pytest.approx(gmacs, rel=0.005, abs=0.0005)
    assert found.trace.uncounted == {}
    assert all(placed.unavailable is None for placed in found.strategies.values())


@pytest.mark.parametrize("name", NAMES)
def test_insert_and_remove(name: str) -> None:
    """Costs in closed form equal a retrace; forward, backward and the way back work."""
    model, inputs = build(name), small_inputs(name)
    traced = shallow(TracedNetwork.of, model, inputs)
    before = traced.trace
    assert before.params - FREED.get(name, 0) == published_params(name)
    assert all(has_row(operator.kind) for operator in before.operators)
    weights = model.state_dict()
    versions = {key: tensor._version for key, tensor in weights.items()}
    buffers = {key: tensor.clone() for key, tensor in model.named_buffers()}
    expected = answer(model, inputs)
    wanted = ["bottleneck", "block"]
    placed = {where: resolve(Placement(where=where), traced.trunk) for where in wanted}
    if FAMILIES[name] != "classification" and placed["bottleneck"]:
        # The default strategy is enough for those that take long.
        del placed["block"]
    largest = placed[list(placed)[-1]]
    for where, sites in placed.items():
        if not sites:
            # Vision Transformers never downsample; AlexNet and VGG have no blocks.
            assert name.startswith({"bottleneck": "vit_", "block": ("alexnet", "vgg")}[where])
            continue
        insert_sites(model, sites)
        if sites is largest or any(site not in largest for site in sites):
            # Else each of these is in the largest too, where its cost and gradient are looked at.
            assert_costs_what_was_said(model, before, placement_cost(sites, traced))
            assert_trains(model, inputs)
        remove(model)
        assert_same_state(model.state_dict(), weights)
        assert all(weights[key]._version == versions[key] for key in weights.keys() - buffers)
        assert all(torch.equal(buffers[key], buffer) for key, buffer in model.named_buffers())
    found = answer(model, inputs)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert any(placed.values())


def shallow(function: Callable[..., T], *arguments: object) -> T:
    """Call in a thread: the tracer stores the stack of every operator, and pytest's is deep."""
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as thread:
        return thread.submit(function, *arguments).result()


def has_row(kind: str) -> bool:
    """Whether an operator is in the table; what packs and unpacks lists is no operator."""
    return {kind, kind.removesuffix("_")} & set(OPERATORS) != set() or kind.startswith("prim::")


# Published with batch norms frozen, whose parameters are none then: two for each channel.
# ResNet50 has 64 channels in the stem's norm, and by stages of 3, 4, 6 and 3 blocks of widths 64 to
# 512, each two norms of the width and one of four times that, with one more of these in the first.
_RESNET50 = 2 * (64 + sum(n * 6 * w + 4 * w for n, w in ((3, 64), (4, 128), (6, 256), (3, 512))))
# MobileNetV3-Large, by table 1 of its paper: input, expansion, output of each block. All but the
# first have a norm after the expansion; then come the depthwise one and the output's.
_BLOCKS = (
    *((16, 16, 16), (16, 64, 24), (24, 72, 24), (24, 72, 40), (40, 120, 40), (40, 120, 40)),
    *((40, 240, 80), (80, 200, 80), (80, 184, 80), (80, 184, 80), (80, 480, 112)),
    *((112, 672, 112), (112, 672, 160), (160, 960, 160), (160, 960, 160)),
)
_MOBILENET = 2 * (16 + 960 + sum(e * (1 + (e != i)) + o for i, e, o in _BLOCKS))
FREED = {
    "fasterrcnn_resnet50_fpn": _RESNET50,
    "fcos_resnet50_fpn": _RESNET50,
    "keypointrcnn_resnet50_fpn": _RESNET50,
    "maskrcnn_resnet50_fpn": _RESNET50,
    "retinanet_resnet50_fpn": _RESNET50,
    "fasterrcnn_mobilenet_v3_large_fpn": _MOBILENET,
    "fasterrcnn_mobilenet_v3_large_320_fpn": _MOBILENET,
}


def published_params(name: str) -> int:
    published = torchvision_models.published(name)["num_params"]
    if name.startswith("mvit_"):
        return published - 96 * fewer_positions(name)
    if not name.startswith("vit_"):
        return published
    # A position embedding for each patch, fewer of which are in a smaller image.
    width = {"b": 768, "l": 1024, "h": 1280}[name[4]]
    patch = int(name[6:])
    size = {"vit_h_14": 518}.get(name, 224)
    side = small_inputs(name)[0].shape[1]
    return published - width * ((size // patch) ** 2 - (side // patch) ** 2)


def fewer_positions(name: str) -> int:
    """How many fewer positions than in 16 frames of 224x224 an MViT has embeddings for."""
    frames, side, _ = small_inputs(name)[0].shape[1:]
    # A token is two frames of 4x4.
    many, few = 224 // 4, side // 4
    if name == "mvit_v1_b":
        return many**2 - few**2 + 16 // 2 - frames // 2
    # Each of 16 blocks has 2n - 1 relative positions in time, and so many along each side, where n
    # is the longer of queries and keys: all tokens in the first, then a half in two, a quarter in
    # twelve, and an eighth in the last.
    sides = [2 * (many - few) // part for part in (1, 2, 2, *[4] * 12, 8)]
    return 2 * sum(sides) + 16 * (16 - frames)


def answer(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    torch.manual_seed(0)
    with torch.no_grad():
        result = model(*arguments(model, inputs, generator=torch.Generator().manual_seed(0)))
    return [tensor for _, tensor in tensors(result)]


def assert_costs_what_was_said(model: nn.Module, before: Trace, placed: PlacementCost) -> None:
    after, added = shallow(trace, model, before.given), placed.total
    assert after.params - before.params == added.params
    for name, cost in zip(model.inserted, placed.costs, strict=True):
        own = f"inserted.{name}"
        assert after.macs[own] == cost.macs
        assert after.elementwise_ops[own] == cost.elementwise_ops
        assert sum(each.numel() for each in model.inserted[name].parameters()) == cost.params
    if is_detector(model):
        # How much work the heads have depends on what they see.
        return
    assert after.macs[""] - before.macs[""] == added.macs
    assert after.elementwise_ops[""] - before.elementwise_ops[""] == added.elementwise_ops


def assert_trains(model: nn.Module, inputs: Inputs) -> None:
    """One step; batch norms in eval mode, since statistics of one small image would be no use."""
    # Only what is inserted; whether the network's own weights learn is not in question.
    inserted = list(model.requires_grad_(False).inserted.requires_grad_().parameters())
    drawn = torch.Generator().manual_seed(0)
    if is_detector(model):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    result = model(*training_arguments(model, inputs, generator=drawn))
    model.eval()
    outputs = list(result.values()) if is_detector(model) else [t for _, t in tensors(result)]
    outputs = [output for output in outputs if output.requires_grad]
    assert all(bool(output.isfinite().all()) for output in outputs)
    gradients = torch.autograd.grad([output.square().mean() for output in outputs], inserted)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)
    model.requires_grad_()


def assert_same_state(state: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    """In the same place in memory: to compare up to 600 million numbers would take long."""
    assert list(state) == list(weights)
    assert all(state[key].data_ptr() == tensor.data_ptr() for key, tensor in weights.items())
