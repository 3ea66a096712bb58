"""What short runs can tell apart, from scratch and from a trunk, on real images.

    python -m tests.benchmarks.starts [FOLDER]

A small residual network on Fashion-MNIST: 300 steps, 8 seeds, the baseline and five placements,
one of them under two names. For each start: the standard deviation of the paired differences, and
the rank agreement of the placements between two halves of the seeds.
"""

import sys
import tempfile
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

from scipy import stats
from torch import Tensor, nn

import bamctl
from bamctl.placement.placement import Placement
from bamctl.training.result import Result

MODEL = "tests.benchmarks.starts:SmallResNet"
STEPS, SEEDS = 300, 8
WHERE = {
    "block": "block",
    "bottleneck": "bottleneck",
    "same": "bottleneck",
    "first": "layer1.0",
    "middle": "layer2.0",
    "last": "layer3.1",
}


class Residual(nn.Module):
    """Two convolutions with batch norm, and a shortcut."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out_channels:
            conv = nn.Conv2d(channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        out = self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))
        return self.act(out + self.shortcut(x))


class SmallResNet(nn.Module):
    """Three stages of two residual blocks, for images of 28x28 or 32x32."""

    def __init__(self, num_classes: int = 10, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        stages = []
        for index in range(3):
            channels, out = width * 2 ** max(index - 1, 0), width * 2**index
            stride = 1 if index == 0 else 2
            stages.append(nn.Sequential(Residual(channels, out, stride), Residual(out, out, 1)))
        self.layer1, self.layer2, self.layer3 = stages
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images of shape (N, 3, H, W) to scores of shape (N, classes)."""
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return self.head(x.mean((2, 3)))


def compared(start: str, folder: Path) -> Result:
    """Train all placements from a start."""
    arms = {name: Placement(where=[where], stages="all") for name, where in WHERE.items()}
    return bamctl.train(
        MODEL,
        placements=arms,
        data="fashion-mnist",
        input_shape="3x28x28",
        steps=STEPS,
        # A single evaluation, since the held-out split has 12,000 images.
        recipe={"eval_every": STEPS},
        seeds=SEEDS,
        start=start,
        workers=2,
        out=folder / start,
    )


def differences(result: Result) -> dict[str, dict[str, list[float]]]:
    """Return the differences of each placement to the baseline, by measure and name."""
    return {
        "accuracy": {each.arm: list(each.evidence.deltas) for each in result.comparisons},
        "loss": {each.arm: list(each.loss.deltas) for each in result.comparisons if each.loss},
    }


def spread(by_name: Mapping[str, list[float]]) -> float:
    """Return the standard deviation within a placement, the mean over all."""
    return mean(stdev(each) for each in by_name.values())


def agreement(by_name: Mapping[str, list[float]]) -> float:
    """Return Kendall's tau between the ranks of two halves of the seeds, the mean over halves."""
    names = [name for name in by_name if name != "same"]
    found = []
    for half in combinations(range(SEEDS), SEEDS // 2):
        if 0 not in half:
            continue
        rest = [seed for seed in range(SEEDS) if seed not in half]
        one = [mean(by_name[name][seed] for seed in half) for name in names]
        other = [mean(by_name[name][seed] for seed in rest) for name in names]
        found.append(stats.kendalltau(one, other).statistic)
    return mean(found)


def main(folder: str | None = None) -> None:
    """Print both starts, and the ratios of their spreads."""
    path = Path(folder or tempfile.mkdtemp(prefix="bamctl-starts-"))
    spreads: dict[str, list[float]] = {"accuracy": [], "loss": []}
    for start in ("scratch", "trunk"):
        result = compared(start, path)
        for measure, by_name in differences(result).items():
            spreads[measure].append(spread(by_name))
            tau = agreement(by_name)
            print(f"{start:8}{measure:9} spread {spread(by_name):.5f}, Kendall's tau {tau:+.2f}")
        for each in result.comparisons:
            assert each.loss is not None
            print(
                f"    {each.arm:11} accuracy {100 * each.evidence.mean:+.3f} points, "
                f"{each.evidence.verdict:13} loss {each.loss.mean:+.5f}, {each.loss.verdict}",
                flush=True,
            )
    for measure, (scratch, trunk) in spreads.items():
        print(f"{measure}: {scratch / trunk:.1f} times less spread from a trunk")


if __name__ == "__main__":
    main(*sys.argv[1:])
