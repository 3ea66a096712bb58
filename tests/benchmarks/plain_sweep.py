"""What a user would write instead of `bamctl analyze --all`: the bare networks alone."""

import torch
import torchvision
from fvcore.nn import FlopCountAnalysis
from torchvision.models import get_model, get_model_weights

for name in torchvision.models.list_models(module=torchvision.models):
    size = get_model_weights(name).DEFAULT.transforms.keywords["crop_size"]
    # A Vision Transformer is built for one size of image.
    options = {"image_size": size} if name.startswith("vit_") else {}
    model = get_model(name, **options).eval()
    image = torch.zeros(1, 3, size, size)
    print(name, FlopCountAnalysis(model, image).unsupported_ops_warnings(False).total())
