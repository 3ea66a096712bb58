"""What a user would write instead of `bamctl analyze resnet50`."""

import torch
import torchvision
from fvcore.nn import FlopCountAnalysis, flop_count_table

model = torchvision.models.resnet50()
image = torch.zeros(1, 3, 224, 224)
print(flop_count_table(FlopCountAnalysis(model.eval(), (image,))))
