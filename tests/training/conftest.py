"""A small comparison that trains in seconds."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from bamctl.data.sets import Data
from bamctl.networks import trust
from bamctl.networks.inputs import read
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.placement import Placement
from bamctl.training.config import DataConfig, TrainingConfig
from bamctl.training.recipe import Recipe
from bamctl.training.samples import load_data

MODEL = "tests.networks:Tiny"
# Programs of the tests run in folders of their own, outside of the project that holds it.
trust.trust(MODEL)


@pytest.fixture(autouse=True)
def _quick(quick_workers: None) -> None:
    """Worker processes begin at once; that they can be interpreters is tested elsewhere."""


def small(**changes: object) -> TrainingConfig:
    """Two seeds of two arms, with dropout, batch norm and twelve evaluations."""
    recipe = {"steps": 60, "batch_size": 32, "lr": 0.1, "warmup_steps": 4, "eval_every": 5}
    given: dict[str, object] = {
        "model": MODEL,
        "input": read("3x32x32"),
        "num_classes": 10,
        "recipe": Recipe(**{**recipe, **changes.pop("recipe", {})}),
        "seeds": [0, 1],
        "device": "cpu",
        "placements": {"bottleneck": Placement(where="bottleneck")},
    }
    return TrainingConfig(**{**given, **changes})


@pytest.fixture(scope="session")
def digits() -> Data:
    """The digits at 32x32."""
    return load_data(NetworkSpec(model=MODEL, input="3x32x32"), DataConfig(), "classification")


def weights(folder: Path) -> dict[str, bytes]:
    """The final weights of every run of a folder, tensor by tensor, byte for byte."""
    return {
        f"{path.stem}/{name}": tensor.numpy().tobytes()
        for path in sorted((folder / "weights").iterdir())
        for name, tensor in load_file(path).items()
    }
