"""Faults of a real Ray cluster: two nodes on this machine, started and ended by the tests."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.conftest import REPOSITORY
from tests.nas.table import Searched, Table
from tests.nas.test_run import count, driver, local, results, run, wait_for
from tests.training.conftest import weights

pytest.importorskip("ray", reason="Ray is not installed")
RAY = Path(sys.executable).parent / "ray"

DRIVER = """
import sys
from pathlib import Path
from tests.nas.table import Quiet, Scratch, Searched, Table
from bamctl.engines.cluster import RayEngine, Resources
from bamctl.nas.run import Search
address, url, deadly = sys.argv[1:]
searched = Searched()
study = searched.study(url, alone=False)
table = Table(seconds=1.0, deadly=Path(deadly) if deadly else None)
engine = RayEngine(table, address, Resources(cpus=1))
assert engine.slots == 2, engine.slots
Search(searched.config, searched.space, study, engine, Quiet(), Scratch()).run()
engine.close()
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Cluster:
    """A head node and others, each with one core, in process groups of their own."""

    folder: Path
    port: int = field(default_factory=free_port)
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> subprocess.Popen[bytes]:
        """Another node; the first one is the head."""
        own = ["--node-ip-address", "127.0.0.1", "--num-cpus", "1", "--block"]
        own += ["--object-store-memory", str(80 * 2**20), "--disable-usage-stats"]
        if self.nodes:
            own += ["--address", self.address]
        else:
            own += ["--head", "--port", str(self.port), "--include-dashboard", "false"]
            own += ["--temp-dir", str(self.folder)]
        env = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            # A node that is gone five times in a row is dead; Ray looks every three seconds.
            "RAY_health_check_period_ms": "1000",
        }
        with (self.folder / f"node-{len(self.nodes)}.log").open("wb") as log:
            node = subprocess.Popen(
                [str(RAY), "start", *own],
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.nodes.append(node)
        return node

    def stop(self) -> None:
        for node in reversed(self.nodes):
            kill(node)


def kill(node: subprocess.Popen[bytes]) -> None:
    """A node with all its processes, at once."""
    if node.poll() is None:
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


WATCHER = """
import os, ray, sys, time
ray.init(address=sys.argv[1], log_to_driver=False)
while True:
    count = sum(node["Alive"] for node in ray.nodes())
    with open(sys.argv[2] + ".new", "w") as file:
        file.write(str(count))
    os.replace(file.name, sys.argv[2])
    time.sleep(0.2)
"""


def alive(cluster: Cluster) -> int:
    """The nodes that the cluster counted last."""
    file = cluster.folder / "alive"
    return int(file.read_text()) if file.exists() else 0


def listens(cluster: Cluster) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", cluster.port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # A socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    made, watcher = Cluster(folder), None
    try:
        made.start()
        wait_for(lambda: listens(made))
        watcher = driver(WATCHER, folder, made.address, str(folder / "alive"))
        wait_for(lambda: alive(made) == 1)
        yield made
    finally:
        if watcher is not None:
            watcher.send_signal(signal.SIGKILL)
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def node(cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """A second node, for one test."""
    found = cluster.start()
    wait_for(lambda: alive(cluster) == 2)
    yield found
    kill(found)
    wait_for(lambda: alive(cluster) == 1)


def test_a_killed_node_a_killed_process_and_a_locked_storage(
    cluster: Cluster, node: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    searched = Searched()
    url = f"sqlite:///{tmp_path}/study.db"
    watched = searched.study(url, alone=False)
    # The first job to run ends its process by force.
    process = driver(DRIVER, tmp_path, cluster.address, url, str(tmp_path / "deadly"))
    wait_for(lambda: count(watched, TrialState.COMPLETE) >= 3)
    with sqlite3.connect(tmp_path / "study.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(4)
        other.execute("COMMIT")
    kill(node)
    assert process.wait(180) == 0
    assert (tmp_path / "deadly").exists()
    results(searched, watched)


def test_a_killed_driver_is_gone_on_with(
    cluster: Cluster, node: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    searched = Searched()
    url = f"sqlite:///{tmp_path}/study.db"
    watched = searched.study(url, alone=False)
    process = driver(DRIVER, tmp_path, cluster.address, url, "")
    wait_for(lambda: count(watched, TrialState.COMPLETE) >= 3)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    before = {t.number: t.values for t in watched.trials() if t.state == TrialState.COMPLETE}
    assert driver(DRIVER, tmp_path, cluster.address, url, "").wait(180) == 0
    found = results(searched, watched)
    after = {trial.number: trial.values for trial in watched.trials()}
    assert before.items() <= after.items()
    # The table has one value for each placement, whoever looked it up.
    alone = Searched().study(f"sqlite:///{tmp_path}/alone.db")
    with local(Table(), 1) as engine:
        run(searched, alone, engine)
    here = results(searched, alone)
    assert len(here.keys() & found.keys()) >= 3
    assert all(here[codes] == found[codes] for codes in here.keys() & found.keys())


TRAIN = """
import sys, bamctl
from bamctl.networks.trust import trust
trust("tests.networks:Tiny")
address, out = sys.argv[1:]
where = {"engine": "ray", "address": address} if address else {"workers": 2}
common = {"where": ["bottleneck"], "start": "trunk", "steps": 60, "seeds": 3, "out": out}
if __name__ == "__main__":
    bamctl.train("tests.networks:Tiny", **common, **where)
"""


def test_a_training_is_the_same_with_a_node_lost(
    cluster: Cluster, node: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    process = driver(TRAIN, tmp_path, cluster.address, str(tmp_path / "ray"))
    timing = tmp_path / "ray" / "timing.jsonl"
    wait_for(lambda: timing.exists() and timing.read_text().count("\n") >= 1)
    kill(node)
    assert process.wait(180) == 0
    assert driver(TRAIN, tmp_path, "", str(tmp_path / "local")).wait(180) == 0
    assert weights(tmp_path / "ray") == weights(tmp_path / "local")
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("ray", "local")]
    assert metrics[0] == metrics[1]


LOOP = """
import sys, bamctl
from bamctl.networks.trust import trust
trust("tests.training.test_own_loop:without_dropout")
address, out = sys.argv[1:]
where = {"engine": "ray", "address": address} if address else {}
common = {"where": ["bottleneck"], "steps": 4, "seeds": 2, "input_shape": "3x32x32", "out": out}
common |= {"loop": "tests.training.test_own_loop:by_hand", "device": "cpu"}
if __name__ == "__main__":
    bamctl.train("tests.training.test_own_loop:without_dropout", **common, **where)
"""


def test_a_loop_of_ones_own_is_the_same(cluster: Cluster, tmp_path: Path) -> None:
    assert driver(LOOP, tmp_path, cluster.address, str(tmp_path / "ray")).wait(180) == 0
    assert driver(LOOP, tmp_path, "", str(tmp_path / "local")).wait(180) == 0
    assert weights(tmp_path / "ray") == weights(tmp_path / "local")
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("ray", "local")]
    assert metrics[0] == metrics[1]


SEARCH = """
import json, sys, bamctl
from bamctl.networks.trust import trust
trust("tests.networks:Tiny")
address, out = sys.argv[1:]
where = {"engine": "ray", "address": address} if address else {"workers": 2}
space = {"candidates": ["one", "two"], "branches": ["both"], "combine": ["sum"]}
space |= {"dilation": [1], "reduction": [8]}
common = {"space": space, "exhaustive": True, "steps": 30, "max_steps": 500}
common |= {"confirm_seeds": 2, "out": out}
if __name__ == "__main__":
    found = bamctl.search("tests.networks:Tiny", **common, **where)
    kept = {
        "trials": sorted((each.codes, each.scores) for each in found.trials),
        "front": [each.codes for each in found.front],
        "level": [each.codes for each in found.level],
        "evidence": sorted(each.deltas for each in found.evidence.values()),
    }
    open(out + ".json", "w").write(json.dumps(kept))
"""


def test_a_search_shares_its_trunks_and_is_the_same_with_a_node_lost(
    cluster: Cluster, node: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    process = driver(SEARCH, tmp_path, cluster.address, str(tmp_path / "ray"))
    wait_for((tmp_path / "ray" / "trunks" / "seed-1.safetensors").exists)
    kill(node)
    assert process.wait(180) == 0
    assert driver(SEARCH, tmp_path, "", str(tmp_path / "local")).wait(180) == 0
    ours, theirs = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("ray", "local"))
    assert len(ours["trials"]) >= 5
    assert max(len(accuracies) for _, accuracies in ours["trials"]) > 2
    assert ours == theirs


NETS = """
from torch import nn
from torchvision.ops import Conv2dNormActivation

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.one = nn.Sequential(Conv2dNormActivation(3, 4), Conv2dNormActivation(4, 4))
        self.two = Conv2dNormActivation(4, 4, stride=2)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.two(self.one(x)).mean((2, 3)))
"""


def test_workers_take_the_factory_and_nothing_else_from_the_driver_s_folder(
    cluster: Cluster, bamctl: object, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    for name in ("torchvision", "torch", "numpy", "colorsys", "random"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})"
        )
    arguments = ["--candidates", "one", "--input", "3x16x16", "--trials", "1", "--steps", "2"]
    arguments += ["--confirm-seeds", "0", "--engine", "ray", "--address", cluster.address]
    found = bamctl("search", "nets:Net", *arguments)
    assert found.returncode == 0, found.stderr
    assert not (tmp_path / "ran").exists()
