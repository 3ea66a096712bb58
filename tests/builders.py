"""torchvision's builders at the smallest input that each can take."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.video import mvit

from bamctl.networks import models
from bamctl.networks.inputs import Inputs, read

NAMES = torchvision.models.list_models()
CLASSIFICATION = torchvision.models.list_models(module=torchvision.models)
FAMILIES = {
    name: family.__name__.rpartition(".")[2]
    for family in (
        torchvision.models.quantization,
        torchvision.models.segmentation,
        torchvision.models.detection,
        torchvision.models.video,
        torchvision.models.optical_flow,
    )
    for name in torchvision.models.list_models(module=family)
} | dict.fromkeys(CLASSIFICATION, "classification")

_SMALL = {
    "classification": "3x64x64",
    "quantization": "3x64x64",
    "segmentation": "3x64x64",
    "detection": "3x128x128",
    "video": "3x8x64x64",
    "optical_flow": "3x128x128",
}
# These are built for more, or for a multiple of their patches.
_OWN = {
    "inception_v3": "3x96x96",
    "quantized_inception_v3": "3x96x96",
    "vit_h_14": "3x56x56",
    "maxvit_t": "3x224x224",
    "mvit_v1_b": "3x4x64x64",
    "mvit_v2_s": "3x4x64x64",
    "s3d": "3x14x224x224",
}


# Random weights see objects everywhere. A few of them go through the heads as hundreds do.
_TWO_STAGES = {
    "rpn_post_nms_top_n_train": 32,
    "rpn_post_nms_top_n_test": 32,
    "box_batch_size_per_image": 16,
    "box_detections_per_img": 8,
}
_ONE_STAGE = {"topk_candidates": 32, "detections_per_img": 8}


def small_inputs(name: str) -> Inputs:
    return read(_OWN.get(name, _SMALL[FAMILIES[name]]))


RANDOM = (
    "uniform_ normal_ trunc_normal_ kaiming_uniform_ kaiming_normal_ xavier_uniform_ xavier_normal_"
).split()


@cache
def _drawn() -> Tensor:
    return torch.randn(2**20, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _filled(tensor: Tensor, *_: object, **__: object) -> Tensor:
    """Fill weights with numbers that are drawn once, since hundreds of millions take long."""
    # Small enough for what the blocks of a deep network add up to.
    scale = (0.5 * len(tensor) / max(tensor.numel(), 1)) ** 0.5 if tensor.dim() > 1 else 0.01
    for part in tensor.view(-1).split(len(_drawn())):
        torch.mul(_drawn()[: len(part)], scale, out=part)
    return tensor


@contextmanager
def small_mvits() -> Iterator[None]:
    """MViTs are built for `small_inputs`; their builders know one size, and their class any."""
    _, frames, *sides = small_inputs("mvit_v1_b")[0].shape

    def small(*arguments: object, **named: object) -> nn.Module:
        return real(*arguments, **{**named, "spatial_size": tuple(sides), "temporal_size": frames})

    real = mvit._mvit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mvit, "_mvit", small)
        yield


@contextmanager
def filled_quickly() -> Iterator[None]:
    """Networks that are built meanwhile have numbers for weights that take no time to draw."""
    with pytest.MonkeyPatch.context() as patch:
        for each in RANDOM:
            patch.setattr(nn.init, each, _filled)
        yield


def _few(name: str) -> dict[str, int]:
    if FAMILIES[name] != "detection":
        return {}
    return _TWO_STAGES if "rcnn" in name else _ONE_STAGE


def build(name: str) -> nn.Module:
    """The network with random weights, in eval mode, built for `small_inputs`."""
    with filled_quickly(), small_mvits():
        model = models.build(name, inputs=small_inputs(name), args=_few(name)).eval()
    for layer in model.modules():
        # A Vision Transformer's head starts at zero, and no gradient comes through that.
        if isinstance(layer, nn.Linear) and not bool(layer.weight.any()):
            nn.init.normal_(layer.weight)
    return model
