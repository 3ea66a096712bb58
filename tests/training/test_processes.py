"""Two processes learn what one does: gloo on 127.0.0.1."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import console
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
config = small(model=sys.argv[1], recipe=json.loads(sys.argv[2]))
experiment = Experiment(config)
found = []
class Listener(NullObserver):
    def evaluated(self, evaluation):
        found.append([evaluation.train_loss, evaluation.loss, evaluation.value])
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


ENV = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def curve(tmp_path: Path, processes: int, *arguments: str) -> list[list[float]]:
    """That of the first of some processes, which are told what torchrun tells those it starts."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    together = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }

    def run(rank: int) -> "subprocess.CompletedProcess[str]":
        env = {**together, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {}
        return console.run(arguments, cwd=REPOSITORY, env={**ENV, **env}, program=program)

    with ThreadPoolExecutor(processes) as pool:
        done = list(pool.map(run, range(processes)))
    assert [each.returncode for each in done] == [0] * processes, [each.stderr for each in done]
    found: list[list[float]] = json.loads(done[0].stdout.splitlines()[-1])
    assert all(each.stdout == "" for each in done[1:])
    return found


# Each evaluates six times or twice.
RECIPES: dict[str, dict[str, int]] = {
    "tests.networks:Tiny": {"steps": 12, "eval_every": 2},
    "resnet18": {"steps": 6, "eval_every": 3, "batch_size": 16},
}


@pytest.mark.parametrize("network", RECIPES)
def test_two_processes_have_the_loss_curve_of_one(network: str, tmp_path: Path) -> None:
    recipe = json.dumps(RECIPES[network])
    one = curve(tmp_path, 1, network, recipe)
    two = curve(tmp_path, 2, network, recipe)
    assert len(one) == RECIPES[network]["steps"] / RECIPES[network]["eval_every"]
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, rel=1e-9)


def test_the_command_under_torchrun(tmp_path: Path) -> None:
    """Started as users start it."""
    arguments = ["train", "tests.networks:Tiny", "--steps", "6", "--seeds", "2", "--out", "run"]
    done = subprocess.run(
        [*TORCHRUN, "-m", "bamctl", *arguments, "--format", "json"],
        cwd=tmp_path,
        env=ENV,
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
