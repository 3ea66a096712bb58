"""Two processes learn what one does: gloo on 127.0.0.1, started as users start them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# In double precision, since rounding errors of single precision grow fast in the first steps of a
# network with batch norm; what is left then is the arithmetic.
PROGRAM = """
import json, os, sys, torch
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
from bamctl.data.sets import Data
from bamctl.training.experiment import Experiment
from bamctl.training.watching import NullObserver
from bamctl.training.loop import Run
from tests.training.conftest import small
normalized = Data.normalized
Data.normalized = lambda self, pixels: normalized(self, pixels).double()
recipe = {"steps": 12, "eval_every": 2, "accumulate": int(sys.argv[1])}
config = small(recipe=recipe, **json.loads(sys.argv[2]))
experiment = Experiment(config)
found = []
class Listener(NullObserver):
    def evaluated(self, evaluation):
        found.append([evaluation.train_loss, evaluation.loss, evaluation.accuracy])
network = experiment.networks.of(experiment.arms[1], 0)
for layer in network.modules():
    if isinstance(layer, torch.nn.Dropout):
        layer.p = 0
Run(network, experiment.data, config, 0, experiment.accelerator).train(Listener())
if experiment.is_main:
    print(json.dumps(found), flush=True)
experiment.accelerator.end_training()
# Threads of the process group may outlive it, and would abort the interpreter's own way out.
os._exit(0)
"""

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def curve(tmp_path: Path, *launcher: str, network: str = "{}") -> list[list[float]]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [*(launcher or [sys.executable]), str(program), "1", network],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("network", ["tests.networks:Tiny", "resnet18"])
def test_two_processes_have_the_loss_curve_of_one(network: str, tmp_path: Path) -> None:
    model = json.dumps({"model": network})
    one = curve(tmp_path, network=model)
    two = curve(tmp_path, *TORCHRUN, network=model)
    assert len(one) == 6
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, rel=1e-9)


def test_the_command_under_torchrun(tmp_path: Path) -> None:
    arguments = ["train", "tests.networks:Tiny", "--steps", "6", "--seeds", "2", "--out", "run"]
    done = subprocess.run(
        [*TORCHRUN, "-m", "bamctl", *arguments, "--format", "json"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # One of the two speaks.
    assert len(json.loads(done.stdout)["arms"]) == 2
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    keys = [
        (json.loads(line)["arm"], json.loads(line)["seed"], json.loads(line)["step"])
        for line in lines
    ]
    assert len(set(keys)) == len(keys) == 2 * 2 * 3
