"""Networks that nobody else has, to show that nothing depends on a network's name."""

import os
import signal
import subprocess
from multiprocessing import parent_process
from pathlib import Path
from time import perf_counter, sleep

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions and a sum, with in-place activations."""

    def __init__(self, channels: int, out_channels: int | None = None, stride: int = 1) -> None:
        super().__init__()
        out_channels = out_channels or channels
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, 1)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.shortcut = (
            nn.Identity() if stride == 1 else nn.Conv2d(channels, out_channels, 1, stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.act(self.conv1(x)))
        out += self.shortcut(x)
        return self.act(out)


class Unseen(nn.Module):
    """A stem, three stages of residual blocks under odd names, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 8, 3, 2, 1)
        self.alpha = nn.Sequential(Residual(8), Residual(8))
        self.beta = nn.ModuleList([Residual(8, 16, 2), Residual(16)])
        self.gamma = Residual(16, 32, 2)
        self.delta = Residual(32)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.alpha(self.entry(x))
        for block in self.beta:
            x = block(x)
        x = self.delta(self.gamma(x))
        return self.head(self.pool(x).flatten(1))


class SideOutput(Unseen):
    """Returns an auxiliary answer from the middle of its trunk, first."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.alpha(self.entry(x))
        aux = self.aux(x.mean((2, 3)))
        for block in self.beta:
            x = block(x)
        x = self.delta(self.gamma(x))
        return aux, self.head(self.pool(x).flatten(1))


class Reused(nn.Module):
    """Calls one block twice, and one activation after every layer."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 8, 3, 2, 1)
        self.twice = Residual(8)
        self.down = Residual(8, 16, 2)
        self.act = nn.ReLU()
        self.unused = nn.Conv2d(1, 1, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.entry(x))
        x = self.twice(self.twice(x))
        return self.head(self.act(self.down(x)).mean((2, 3)))


class Skip(nn.Module):
    """A long connection jumps over the middle block, whose output is thus no trunk map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Residual(3, 8, 2)
        self.middle = Residual(8)
        self.last = Residual(8, 16, 2)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(self.last(x + self.middle(x)).mean((2, 3)))


class ChannelsLastTrunk(nn.Module):
    """Keeps its maps as (N, H, W, C) between layers, as Swin does."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.mix1 = ChannelMixer(8)
        self.down = nn.Linear(32, 16)
        self.mix2 = ChannelMixer(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix1(self.embed(x).permute(0, 2, 3, 1))
        corners = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return self.head(self.mix2(self.down(torch.cat(corners, -1))).mean((1, 2)))


class ChannelMixer(nn.Module):
    """Two linear layers over the last axis, with a residual sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, 2 * channels)
        self.down = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Tiny(nn.Module):
    """Three stages of residual blocks with batch norm, and dropout, to train in no time."""

    def __init__(self, num_classes: int = 10, width: int = 8) -> None:
        super().__init__()
        self.entry = nn.Sequential(nn.Conv2d(3, width, 3, 4, 1, bias=False), nn.BatchNorm2d(width))
        self.one = Residual(width)
        self.two = Residual(width, 2 * width, 2)
        self.three = Residual(2 * width, 4 * width, 2)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.three(self.two(self.one(self.entry(x))))
        return self.head(self.drop(x.mean((2, 3))))


class Held(Tiny):
    """The same, and a process that has trained for `HELD_AFTER` steps trains no further.

    So a test may interrupt it without haste. It leaves a file named `held` in the current folder.
    """

    steps = 0

    def forward(self, x: Tensor) -> Tensor:
        Held.steps += self.training
        if self.training and Held.steps > int(os.environ.get("HELD_AFTER", "1_000_000")):
            Path("held").touch()
            while True:
                sleep(0.01)
        return super().forward(x)


class Deadly(Tiny):
    """The same, and the first worker process that builds it ends by force.

    It leaves a file named `deadly` in the folder of `DEADLY`.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        deadly = Path(os.environ["DEADLY"]) / "deadly"
        if parent_process() is not None and not deadly.exists():
            deadly.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Talkative(Tiny):
    """Prints in its forward pass: by Python, by the system, and by a program that it starts."""

    def forward(self, x: Tensor) -> Tensor:
        print("printed")
        os.write(1, b"written\n")
        subprocess.run(["echo", "echoed"], check=True)
        return super().forward(x)


class Delayed(nn.Module):
    """A network that takes a fraction of its own time longer than it would."""

    def __init__(self, network: nn.Module, fraction: float) -> None:
        super().__init__()
        self.network, self.fraction = network, fraction

    def forward(self, x: Tensor) -> Tensor:
        start = perf_counter()
        result = self.network(x)
        # To sleep would give the processor away, for longer than was asked.
        end = perf_counter() + self.fraction * (perf_counter() - start)
        while perf_counter() < end:
            pass
        return result
