"""The optimizer of a recipe."""

import torch
from torch import nn

from bamctl.training.recipe import Recipe


def optimizer_for(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of a recipe for all parameters of a network."""
    weights, lr, decay = network.parameters(), recipe.lr, recipe.weight_decay
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=lr, weight_decay=decay)
    return torch.optim.SGD(weights, lr=lr, momentum=recipe.momentum, weight_decay=decay)
