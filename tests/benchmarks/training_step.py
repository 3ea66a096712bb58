"""A training step of ResNet50 with BAM at its bottlenecks against one of ResNet50."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

import bamctl
from bamctl.networks.memory import PeakMemory
from bamctl.networks.models import build
from tests.benchmarks.ratios import Ratio, in_turn

IMAGES = 16


def measure(runs: int) -> Iterator[Ratio]:
    """Its time, and its peak memory with the weights."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    images, labels = torch.randn(IMAGES, 3, 224, 224), torch.randint(1000, (IMAGES,))
    networks = [bamctl.insert(build("resnet50")), build("resnet50")]

    def step(network: nn.Module) -> None:
        network.zero_grad()
        F.cross_entropy(network(images), labels).backward()

    ours, theirs = (lambda network=network: step(network) for network in networks)
    yield in_turn("ResNet50 + BAM training step / ResNet50", ours, theirs, runs, 1.08)
    peaks = [[_peak(network, lambda n=network: step(n))] for network in networks]
    yield Ratio("ResNet50 + BAM peak memory / ResNet50", "MB", *peaks, 1.09)


def _peak(network: nn.Module, step: object) -> float:
    network.zero_grad(set_to_none=True)
    with PeakMemory([*network.parameters(), *network.buffers()]) as memory:
        step()
    return memory.peak_bytes / 1e6
