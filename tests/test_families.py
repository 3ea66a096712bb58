"""Networks of timm and pytorchcv of many families: where the stages end, and their multiply-adds.

The ends of stages follow from the papers' tables and the libraries' code: the last block before
each halving of the map, of which the deepest three are the bottlenecks. Multiply-adds are compared
with those of PyTorch's own counter, which counts each twice.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bamctl import analyze
from bamctl.networks import models
from bamctl.networks.inputs import read
from tests.builders import filled_quickly

STAGES = ("stages.0", "stages.1", "stages.2")
LAYERS = ("layer1", "layer2", "layer3")
FIRST_THREE = tuple(f"features.stage{i}" for i in (1, 2, 3))
SECOND_THREE = tuple(f"features.stage{i}" for i in (2, 3, 4))
MOBILE = ("blocks.1", "blocks.2", "blocks.4")


@dataclass(frozen=True)
class Family:
    """A network's bottlenecks, and the side of the image that it is run on."""

    bottlenecks: tuple[str, ...]
    side: int = 64


FAMILIES = {
    # Blocks that hand on two maps; the last convolution's is the stage's.
    "timm:selecsls42b": Family(tuple(f"features.{i}.conv6" for i in (1, 3, 5)), 128),
    "pytorchcv:selecsls42": Family(
        tuple(f"features.stage{i}.unit2.last_conv" for i in (1, 2, 3)), 224
    ),
    # Tokens that are merged, and blocks that work on maps and on tokens.
    "timm:levit_128s": Family(("stages.0", "stages.1"), 224),
    "timm:swin_tiny_patch4_window7_224": Family(("layers.0", "layers.1", "layers.2"), 224),
    "timm:swin_s3_tiny_224": Family(("layers.0", "layers.1", "layers.2"), 224),
    "timm:nest_tiny": Family(("levels.0", "levels.1"), 224),
    # Attention to fewer keys.
    "timm:pvt_v2_b0": Family(tuple(f"stages.{i}.blocks.1" for i in (0, 1, 2))),
    "timm:pvt_v2_b1": Family(tuple(f"stages.{i}.blocks.1" for i in (0, 1, 2))),
    "timm:twins_pcpvt_small": Family(("blocks.0.2", "blocks.1.3", "blocks.2.5"), 224),
    "timm:coat_lite_tiny": Family(tuple(f"serial_blocks{i}.1" for i in (1, 2, 3)), 224),
    # A first stage with one head.
    "timm:mvitv2_tiny": Family(STAGES, 224),
    # Patches side by side.
    "timm:mobilevitv2_050": Family(("stages.1", "stages.2", "stages.3"), 256),
    "timm:mobilevit_xxs": Family(("stages.1", "stages.2", "stages.3"), 256),
    # Tokens of one grid, in a strip or mixed: nothing is downsampled behind the embedding.
    "timm:convit_tiny": Family((), 224),
    "timm:mixer_s32_224": Family((), 224),
    "timm:resmlp_12_224": Family((), 224),
    # Shuffled tokens are no map, and the last stage has no drop behind it.
    "timm:hiera_tiny_224": Family((), 224),
    # Encoder and decoder, hourglasses, a trunk with a decoder of its own.
    "pytorchcv:fishnet99": Family(
        tuple(f"features.hg.down1_seq.unit{i}.blocks" for i in (1, 2, 3)), 224
    ),
    "pytorchcv:linknet_cityscapes": Family(tuple(f"hg.down_seq.down{i}" for i in (1, 2, 3)), 128),
    "pytorchcv:unet_cityscapes": Family(tuple(f"hg.down_seq.down{i}" for i in (1, 2, 3)), 64),
    "pytorchcv:erfnet_cityscapes": Family(("encoder.stage2",), 128),
    # The shrunk image is fed to later stages.
    "pytorchcv:cgnet_cityscapes": Family(
        ("features.init_block", "features.stage2.norm_activ"), 128
    ),
    "pytorchcv:dabnet_cityscapes": Family(
        ("features.init_block", "features.stage2.norm_activ"), 128
    ),
    # A head of layers for one pixel behind a window.
    "pytorchcv:mobilenetv3_small_w7d20": Family(FIRST_THREE, 224),
    "pytorchcv:ghostnet": Family(SECOND_THREE, 224),
    "timm:vgg11_bn": Family(("features.13", "features.20", "features.27"), 224),
    # Blocks of layers that are blocks themselves where nothing jumps over them.
    "timm:tf_mixnet_s": Family(MOBILE),
    "timm:mixnet_s": Family(MOBILE),
    # A margin of padding before a convolution.
    "timm:tf_efficientnet_b0": Family(MOBILE),
    "pytorchcv:efficientnet_b0b": Family(SECOND_THREE),
    # Stages of single convolutions, in one list with the others.
    "timm:mobilenetv4_conv_small": Family(("blocks.0", "blocks.1", "blocks.2")),
    "timm:mobilenetv4_conv_medium": Family(("blocks.0", "blocks.1", "blocks.2")),
    # Plain networks of convolutions and pooling.
    "pytorchcv:bn_vgg11": Family(tuple(f"features.stage{i}.unit2" for i in (3, 4, 5)), 224),
    "pytorchcv:darknet19": Family(
        ("features.stage3.unit3", "features.stage4.unit3", "features.stage5.unit5"), 224
    ),
    "pytorchcv:nin_cifar10": Family(("features.stage1", "features.stage2"), 32),
    # Blocks of many kinds.
    "pytorchcv:resnet10": Family(FIRST_THREE, 224),
    "pytorchcv:preresnet10": Family(FIRST_THREE, 224),
    "pytorchcv:vovnet27s": Family(FIRST_THREE, 224),
    "pytorchcv:peleenet": Family(FIRST_THREE, 224),
    "pytorchcv:mobilenetv2_wd4": Family(SECOND_THREE, 224),
    "timm:resnest14d": Family(LAYERS),
    "timm:skresnet18": Family(LAYERS),
    "timm:repvit_m1": Family(STAGES),
    "timm:convnext_atto": Family(STAGES),
    "timm:lcnet_050": Family(MOBILE),
    "timm:cspdarknet53": Family(("stages.1", "stages.2", "stages.3")),
}


def build(name: str, side: int) -> nn.Module:
    library, _, network = name.partition(":")
    if library == "timm":
        return models.build(name, inputs=read((3, side, side)), initialize=False).eval()
    provider = pytest.importorskip("pytorchcv.model_provider")
    size = {"in_size": (side, side)} if network.endswith(("cityscapes", "coco")) else {}
    return provider.get_model(network, pretrained=False, **size).eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_bottlenecks_and_multiply_adds(name: str) -> None:
    family = FAMILIES[name]
    with filled_quickly():
        network = build(name, family.side)
    found = analyze(network, input_shape=(3, family.side, family.side))
    assert tuple(found.strategies["bottleneck"].modules) == family.bottlenecks
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.to("meta")(torch.zeros(1, 3, family.side, family.side, device="meta"))
    assert 2 * found.trace.macs[""] == counter.get_total_flops()
