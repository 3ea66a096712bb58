"""Loops of one's own: called for every arm and seed, checked, recorded and judged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import bamctl
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.networks import trust
from bamctl.networks.spec import NetworkSpec
from bamctl.training._loader import Order
from bamctl.training.config import DataConfig
from bamctl.training.recipe import Recipe
from bamctl.training.samples import load_data
from bamctl.training.train import train
from tests.networks import Tiny
from tests.training.conftest import MODEL, weights

HERE = "tests.training.test_own_loop"
STEPS, BATCH, RATE = 4, 32, 0.1


def by_hand(network: nn.Module, *, seed: int, steps: int, device: str, report: Any) -> float:
    """The digits, trained by bare PyTorch with the recipe below, and their accuracy."""
    digits = load_data(NetworkSpec(model=MODEL, input="3x32x32"), DataConfig(), "classification")
    order = Order(len(digits.train), BATCH, seed)
    recipe = Recipe(steps=steps, lr=RATE, eval_every=steps)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    for step in range(steps):
        batch = digits.train.batch(*order.batch(step))
        optimizer.param_groups[0]["lr"] = recipe.lr_at(step)
        network.train()
        loss = F.cross_entropy(network(digits.normalized(batch.inputs)), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return accuracy_of(network, digits)


@torch.no_grad()
def accuracy_of(network: nn.Module, digits: Data) -> float:
    network.eval()
    batch = digits.held_out.batch(torch.arange(len(digits.held_out)), None)
    named = network(digits.normalized(batch.inputs)).argmax(1)
    return (named == batch.targets).double().mean().item()


def without_dropout(num_classes: int = 10) -> nn.Module:
    network = Tiny(num_classes)
    network.drop = nn.Identity()
    return network


def seeds_and_steps(network: nn.Module, *, seed: int, steps: int, **given: Any) -> dict[str, float]:
    given["report"](1, {"loss": 9.0, "score": 1.0})
    has_attention = float(any("attention" in name for name, _ in network.named_parameters()))
    return {"loss": 10.0 * seed + steps, "score": has_attention}


def fails(network: nn.Module, *, seed: int, **given: Any) -> float:
    if seed == 1:
        raise RuntimeError("the disk of the cluster is full")
    return 1.0


def says(value: Any) -> Callable[..., Any]:
    def loop(network: nn.Module, **given: Any) -> Any:
        return value

    return loop


nothing, text, nan, flag = says(None), says("98 %"), says(float("nan")), says(value=True)
two = says({"a": 1.0, "b": 2.0})


def backwards(network: nn.Module, *, report: Any, **given: Any) -> float:
    report(2, 1.0)
    report(1, 1.0)
    return 1.0


SMALL = f"{HERE}:without_dropout"
trust.trust(SMALL)
QUICK: dict[str, Any] = {
    "where": ["bottleneck"],
    "steps": STEPS,
    "seeds": 2,
    "device": "cpu",
    "input_shape": "3x32x32",
}


def run(loop: str | dict[str, Any], out: Path, **more: Any) -> Any:
    named = loop if isinstance(loop, dict) else f"{HERE}:{loop}"
    return train(SMALL, **{**QUICK, **more}, loop=named, out=out)


def test_a_loop_by_hand_is_bamctls_own_to_the_last_bit(tmp_path: Path) -> None:
    recipe = {"batch_size": BATCH, "lr": RATE, "warmup_steps": 0}
    ours = train(SMALL, **QUICK, recipe=recipe, out=tmp_path / "ours")
    theirs = run("by_hand", tmp_path / "theirs")
    assert [arm.values for arm in theirs.arms] == [arm.values for arm in ours.arms]
    assert weights(tmp_path / "theirs") == weights(tmp_path / "ours")


def test_beside_each_other_it_is_the_same(tmp_path: Path) -> None:
    one = run("by_hand", tmp_path / "one")
    two = run("by_hand", tmp_path / "two", workers=2)
    assert [arm.values for arm in two.arms] == [arm.values for arm in one.arms]


def test_the_value_that_is_named_is_judged(tmp_path: Path) -> None:
    """10, 20 by seed and the number of steps; a value on the way is on the curve."""
    loop = {"function": f"{HERE}:seeds_and_steps", "metric": "loss", "better": "lower"}
    found = run(loop, tmp_path / "run")
    assert [arm.values for arm in found.arms] == [(4.0, 14.0)] * 2
    assert found.arms[0].curve == {1: 9.0, STEPS: 9.0}
    assert found.comparisons[0].evidence.deltas == (0.0, 0.0)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert lines[0] == {
        "arm": "baseline",
        "seed": 0,
        "step": 1,
        "images": None,
        "lr": None,
        "train_loss": None,
        "loss": None,
        "value": 9.0,
        "diverged": False,
    }


@pytest.mark.parametrize(
    ("loop", "words"),
    [
        ("fails", "fails failed: RuntimeError: the disk of the cluster is full"),
        ("nothing", "returned None, not a finite number"),
        ("text", "returned '98 %', not a finite number"),
        ("nan", "returned nan, not a finite number"),
        ("flag", "returned True, not a finite number"),
        ("two", "returned a, b; choose one with --metric"),
        ("backwards", "reported step 1 after step 2"),
        ("STEPS", "is not a function or class"),
        ("no_such", "no 'no_such'"),
    ],
)
def test_what_a_loop_may_not_do(loop: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        run(loop, tmp_path / "run")


def test_finished_runs_are_kept_and_the_others_made_up_for(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run("fails", tmp_path / "run")
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 0]
    config = tmp_path / "run/config.yaml"
    trust.trust(f"{HERE}:says_one")
    # What is wrong is mended in the function; another function would be another comparison.
    config.write_text(config.read_text().replace("fails", "says_one"))
    with pytest.raises(InputError, match="trained with a different config"):
        bamctl.train(resume=tmp_path / "run")


def says_one(network: nn.Module, **given: Any) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": "digits"}, "decides on --data"),
        ({"recipe": {"lr": 0.1}}, "decides on --lr"),
        ({"task": "video"}, "decides on --task"),
        ({"start": "trunk"}, "--start trunk is for bamctl's own training"),
        ({"steps": None, "max_minutes": 1}, "--max-minutes needs bamctl's own training"),
    ],
)
def test_what_a_loop_decides_by_itself(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        run("says_one", tmp_path / "run", **given)
