"""Whether a measured latency is to be believed: `python -m tests.benchmarks.latency`.

A network against itself must read 1, and one that is a twentieth slower must read 1.05, each with
an interval narrow enough to say so; all at the default length of a run.
"""

import argparse

import torchvision

from bamctl.timing.measure import Latency, measure
from tests.networks import Delayed

SHAPE = (3, 224, 224)


def show(name: str, truth: float, found: list[Latency]) -> None:
    intervals = [each.ratio_ci95 for each in found]
    held = sum(low <= truth <= high for low, high in intervals)
    excluding = sum(not low <= 1 <= high for low, high in intervals)
    ratios = sorted(each.ratio for each in found)
    print(
        f"{name}: ratios {ratios[0]:.4f} to {ratios[-1]:.4f}; {held} of {len(found)} intervals "
        f"hold {truth:g}, {excluding} are clear of 1; the widest is "
        f"{100 * max(high - low for low, high in intervals):.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--model", default="resnet18")
    arguments = parser.parse_args()
    network = torchvision.models.get_model(arguments.model).eval()
    same = [measure(network, network, SHAPE) for _ in range(arguments.runs)]
    show("against itself", 1, same)
    slower = Delayed(network, 0.05)
    show("5 % slower", 1.05, [measure(network, slower, SHAPE) for _ in range(arguments.runs)])


if __name__ == "__main__":
    main()
