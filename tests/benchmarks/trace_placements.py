"""The least that a check of placements must do: build and trace each distinct network once."""

import sys
from pathlib import Path

import torch
import torchvision
import yaml
from fvcore.nn import FlopCountAnalysis
from torch import nn

paths = Path(sys.argv[1]).rglob("*.yaml")
placements = [yaml.safe_load(path.read_text()) for path in paths]
networks = {(p["model"], p["input"], p["num_classes"]) for p in placements if "model" in p}
for name, shape, num_classes in networks:
    model = torchvision.models.get_model(name, num_classes=num_classes)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    image = torch.zeros(1, *map(int, shape.split("x")))
    print(name, FlopCountAnalysis(model.eval(), (image,)).total())
