"""One run: what the optimizer does, step by step, against a loop written out by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.networks.inserted import HOLDER
from bamctl.training._loader import Order
from bamctl.training._statistics import quicken_statistics
from bamctl.training.devices import accelerator_for
from bamctl.training.experiment import Experiment
from bamctl.training.loop import Run
from bamctl.training.recipe import Recipe
from bamctl.training.watching import Evaluation, NullObserver
from tests.networks import Tiny
from tests.training.conftest import small


class Losses(NullObserver):
    """The training loss of every evaluation."""

    def __init__(self) -> None:
        self.found: list[Evaluation] = []

    def evaluated(self, evaluation: Evaluation) -> None:
        self.found.append(evaluation)


def trained(
    data: Data, network: nn.Module | None = None, workers: int = 0, **changes: object
) -> Losses:
    config = small(data={"workers": workers}, **changes)
    experiment = Experiment(config, data)
    network = network or experiment.networks.baseline(0)
    losses = Losses()
    Run(network, data, config, 0, experiment.accelerator).train(losses)
    return losses


EVERY_STEP = {"steps": 6, "eval_every": 1}


def test_it_is_plain_sgd_with_momentum(digits: Data) -> None:
    """The same steps in a loop of bare PyTorch give the same losses, bit for bit."""
    recipe = {**EVERY_STEP, "label_smoothing": 0.1, "schedule": "step"}
    config = small(recipe=recipe)
    experiment = Experiment(config, digits)
    network = experiment.networks.baseline(0)
    network.drop = nn.Identity()
    found = Losses()
    Run(network, digits, config, 0, experiment.accelerator).train(found)

    plain = experiment.networks.baseline(0)
    plain.drop = nn.Identity()
    optimizer = torch.optim.SGD(plain.parameters(), lr=1, momentum=0.9, weight_decay=1e-4)
    order = Order(len(digits.train), config.recipe.batch_size, 0)
    # Four steps of warm-up; the third and last third are two steps each, at a tenth of the last.
    for step, lr in enumerate([0.025, 0.05, 0.075, 0.1, 0.001, 0.001]):
        batch = digits.train.batch(*order.batch(step))
        optimizer.param_groups[0]["lr"] = lr
        plain.train()
        loss = F.cross_entropy(
            plain(digits.normalized(batch.inputs)), batch.targets, label_smoothing=0.1
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert found.found[step].train_loss == loss.item()
        assert found.found[step].lr == pytest.approx(lr)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_parts_of_a_batch_add_up_to_it(digits: Data) -> None:
    """Without batch norm and dropout, which see parts, the whole batch gives the same losses."""

    def network() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))

    whole = trained(digits, network(), recipe=EVERY_STEP)
    parts = trained(digits, network(), recipe={**EVERY_STEP, "accumulate": 4})
    assert [e.train_loss for e in parts.found] == pytest.approx(
        [e.train_loss for e in whole.found], rel=1e-5
    )


def test_the_backbone_rests_and_then_moves(digits: Data, tmp_path: object) -> None:
    from tests.networks import Tiny
    from tests.training.test_arms import file_of

    weights = file_of(Tiny(), tmp_path / "w.safetensors")
    recipe = {"steps": 6, "eval_every": 3, "freeze_backbone_steps": 3}
    config = small(weights=weights, recipe=recipe)
    experiment = Experiment(config, digits)
    arm = experiment.arms[1]
    network = experiment.networks.of(arm, 0)
    pretrained = experiment.networks.pretrained(network)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    moved: list[set[str]] = []

    class Looking(NullObserver):
        def evaluated(self, evaluation: Evaluation) -> None:
            after = network.state_dict()
            moved.append({k for k in before if not torch.equal(before[k], after[k])})

    Run(network, digits, config, 0, experiment.accelerator, pretrained).train(Looking())
    assert all(name.startswith(f"{HOLDER}.") for name in moved[0])
    assert any(name.endswith("running_mean") for name in moved[0])
    assert {"entry.1.running_mean", "one.conv1.weight", "head.bias"} <= moved[1]


def test_the_baseline_with_nothing_new_only_waits(digits: Data, tmp_path: object) -> None:
    from tests.networks import Tiny
    from tests.training.test_arms import file_of

    weights = file_of(Tiny(), tmp_path / "w.safetensors")
    recipe = {"steps": 4, "eval_every": 2, "freeze_backbone_steps": 2}
    config = small(weights=weights, recipe=recipe)
    experiment = Experiment(config, digits)
    network = experiment.networks.baseline(0)
    pretrained = experiment.networks.pretrained(network)
    found = Losses()
    Run(network, digits, config, 0, experiment.accelerator, pretrained).train(found)
    assert found.found[0].loss is not None
    assert found.found[1].loss != found.found[0].loss


def test_mixed_precision_learns(forked: object) -> None:
    """In a process of its own: Accelerate keeps one precision for a process."""
    done = forked(
        "from tests.training.conftest import MODEL, small\n"
        "from tests.training.test_loop import trained\n"
        "from bamctl.training.config import DataConfig\n"
        "from bamctl.training.samples import load_data\n"
        "from bamctl.networks.spec import NetworkSpec\n"
        "network = NetworkSpec(model=MODEL, input='3x32x32')\n"
        "data = load_data(network, DataConfig(), 'classification')\n"
        "recipe = {'steps': 20, 'eval_every': 10, 'precision': 'bf16'}\n"
        "first, last = trained(data, recipe=recipe).found\n"
        "assert last.train_loss < first.train_loss, (first, last)\n"
    )
    assert done.returncode == 0, done.stderr


def test_schedules() -> None:
    recipe = Recipe(steps=100, lr=0.4, warmup_steps=20, eval_every=20)
    assert [recipe.lr_at(step) for step in (0, 9, 19)] == pytest.approx([0.02, 0.2, 0.4])
    assert recipe.lr_at(60) == pytest.approx(0.2)
    assert recipe.lr_at(99) == pytest.approx(0.2 * (1 + math.cos(math.pi * 79 / 80)))


def test_a_batch_that_cannot_be_cut() -> None:
    with pytest.raises(InputError, match="--batch-size 30"):
        accelerator_for(small(recipe={"accumulate": 5, "batch_size": 32}))


class Detached(Tiny):
    """Scores that do not depend on what is trained, as those of a network under `no_grad`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).detach()


def test_scores_without_a_gradient_are_refused(digits: Data) -> None:
    with pytest.raises(InputError, match="its scores have no gradient"):
        trained(digits, Detached(), recipe=EVERY_STEP)


def test_images_are_read_ahead_by_other_processes_alike(digits: Data) -> None:
    alone = trained(digits, recipe=EVERY_STEP)
    helped = trained(digits, recipe=EVERY_STEP, workers=2)
    assert alone.found == helped.found


def test_statistics_that_would_lag_behind_are_quickened() -> None:
    """A tenth of the run, PyTorch's default at most; what is quicker, and cumulative, stays."""

    def norms() -> nn.Sequential:
        momenta = (0.01, 0.1, 0.2, None)
        return nn.Sequential(*(nn.BatchNorm2d(1, momentum=each) for each in momenta))

    for steps, expected in ((200, 0.05), (50, 0.1)):
        network = norms()
        assert quicken_statistics(network, steps) == (0.01, expected)
        assert [each.momentum for each in network] == [expected, 0.1, 0.2, None]
    assert quicken_statistics(norms(), 1000) is None


def test_after_a_short_run_the_statistics_are_those_of_the_images(digits: Data) -> None:
    """The mean of a first layer's inputs, of which a momentum of 0.01 would know a twentieth."""
    network = nn.Sequential(
        nn.BatchNorm2d(3, momentum=0.01), nn.Flatten(), nn.Linear(3 * 32 * 32, 10)
    )
    shifted = replace(digits, mean=digits.mean - 3 * digits.std)
    trained(shifted, network, recipe={"steps": 40, "eval_every": 40})
    assert network[0].running_mean.mean() == pytest.approx(3, abs=0.2)
