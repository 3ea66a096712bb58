"""Images a second of our training loop and of a bare one, in turn, in one process.

`python -m tests.benchmarks.throughput` prints the median of the ratios of neighbouring runs. The
bare loop is what one would write by hand: the same network, images, augmentation and optimizer.
"""

import argparse
import statistics
from time import perf_counter

import torch
from torch.nn import functional as F

from bamctl.data.sets import Data
from bamctl.networks.inputs import read
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.placement import Placement
from bamctl.training._loader import Order
from bamctl.training.config import DataConfig, TrainingConfig
from bamctl.training.experiment import Experiment
from bamctl.training.loop import Run
from bamctl.training.recipe import Recipe
from bamctl.training.samples import load_data
from bamctl.training.watching import Evaluation, NullObserver

BATCH = 64


class Stopwatch(NullObserver):
    """Stops when the steps are done, before the evaluation."""

    def stepped(self, step: int, loss: float | None) -> None:
        self.end = perf_counter()

    def evaluated(self, evaluation: Evaluation) -> None:
        pass


def ours(experiment: Experiment, data: Data, config: TrainingConfig) -> float:
    network = experiment.networks.of(experiment.arms[1], 0)
    run = Run(network, data, config, 0, experiment.accelerator)
    watch = Stopwatch()
    start = perf_counter()
    run.train(watch)
    experiment.accelerator.free_memory()
    return config.recipe.steps * BATCH / (watch.end - start)


def bare(experiment: Experiment, data: Data, config: TrainingConfig) -> float:
    network = experiment.networks.of(experiment.arms[1], 0).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.025, momentum=0.9, weight_decay=1e-4)
    order = Order(len(data.train), BATCH, 0)
    start = perf_counter()
    for step in range(config.recipe.steps):
        batch = data.train.batch(*order.batch(step))
        loss = F.cross_entropy(network(data.normalized(batch.pixels)), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return config.recipe.steps * BATCH / (perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    data = load_data(NetworkSpec(model="resnet18"), DataConfig(), "classification")
    config = TrainingConfig(
        model="resnet18",
        input=read(data.input_shape),
        num_classes=10,
        recipe=Recipe(steps=arguments.steps, lr=0.025, eval_every=arguments.steps),
        seeds=[0],
        placements={"bottleneck": Placement(where="bottleneck")},
    )
    experiment = Experiment(config, data)
    ratios = []
    for number in range(arguments.runs + 1):
        sides = (ours, bare) if number % 2 else (bare, ours)
        found = {side: side(experiment, data, config) for side in sides}
        if number:
            ratios.append(found[ours] / found[bare])
            print(f"{found[ours]:8.1f} images/s ours {found[bare]:8.1f} bare  {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
