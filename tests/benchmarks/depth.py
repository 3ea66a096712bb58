"""How the time of an analysis grows with depth: the exponent of a fit, which linear growth makes 1.

`python -m tests.benchmarks.depth` prints the seconds of each depth, then the exponent.
"""

import time

import numpy as np
import torch
from torch import Tensor, nn

from bamctl import analyze

DEPTHS = (10, 30, 100, 300, 1000)


class Block(nn.Module):
    """Two convolutions and a sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


def network(depth: int) -> nn.Module:
    """So many blocks in two stages, as small as can be: it is the number that takes time."""
    half = [nn.Sequential(*(Block(4) for _ in range(depth // 2))) for _ in range(2)]
    down = nn.Conv2d(4, 4, 3, 2, 1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), half[0], down, half[1])


def seconds(depth: int) -> float:
    """The least of three, which other programs disturbed the least."""
    model, found = network(depth), []
    for _ in range(3):
        start = time.process_time()
        analyze(model, input_shape=(3, 16, 16))
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    torch.set_num_threads(1)
    seconds(DEPTHS[0])
    times = [seconds(depth) for depth in DEPTHS]
    for depth, taken in zip(DEPTHS, times, strict=True):
        print(f"{depth:5} blocks {taken:8.3f} s")
    slope, _ = np.polyfit(np.log(DEPTHS), np.log(times), 1)
    print(f"exponent {slope:.2f}")


if __name__ == "__main__":
    main()
