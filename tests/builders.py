"""torchvision's classification builders at the smallest input that each can take."""

import torchvision
from torch import nn

from bamctl import models

NAMES = torchvision.models.list_models(module=torchvision.models)

# Most networks run on 64x64; these are built for more, or for a multiple of their patches.
SMALL = {"inception_v3": 96, "vit_h_14": 56, "maxvit_t": 224}


def small_shape(name: str) -> tuple[int, int, int]:
    side = SMALL.get(name, 64)
    return (3, side, side)


def build(name: str) -> nn.Module:
    """The network with random weights, in eval mode, built for `small_shape`."""
    model = models.build(name, inputs=small_shape(name)).eval()
    for layer in model.modules():
        # A Vision Transformer's head starts at zero, and no gradient comes through that.
        if isinstance(layer, nn.Linear) and not bool(layer.weight.any()):
            nn.init.normal_(layer.weight)
    return model
