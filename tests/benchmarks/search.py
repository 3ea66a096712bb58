"""How busy a search keeps its workers, and how fast it prices: `python -m tests.benchmarks.search`.

Trials sleep, so that what is left of 100 % is the search's own; for Ray a cluster of one node with
two cores is started on 127.0.0.1.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from bamctl.engines.cluster import RayEngine, Resources
from bamctl.engines.engine import Engine, LocalEngine
from bamctl.nas.jobs import Job
from bamctl.nas.run import Search
from tests.engines.test_cluster import Cluster, alive
from tests.nas.table import Quiet, Scratch, Searched, Table
from tests.nas.test_run import wait_for

WORKERS, TRIALS = 2, 50


def busy(engine: Engine, seconds: float, folder: Path) -> float:
    """The share of the workers' time that went into trials, once the workers have started."""
    warm = [engine.submit(Job((), 1, (number,))) for number in range(WORKERS)]
    for future in warm:
        future.result()
    searched = Searched(changes={"trials": TRIALS})
    study = searched.study(f"sqlite:///{folder}/{type(engine).__name__}.db")
    started = time.perf_counter()
    Search(searched.config, searched.space, study, engine, Quiet(), Scratch()).run()
    taken = time.perf_counter() - started
    return TRIALS * seconds / (WORKERS * taken)


def priced_per_second() -> float:
    costs = Searched().costs
    rows = costs.draw(200_000, np.random.default_rng(0))
    started = time.process_time()
    costs.is_within(rows)
    return len(rows) / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a trial sleeps")
    seconds = parser.parse_args().seconds
    print(f"candidates priced in a second of one core: {priced_per_second():,.0f}")
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    cluster = Cluster(folder)
    try:
        local = LocalEngine(Table(seconds=seconds), WORKERS)
        print(f"local: {100 * busy(local, seconds, folder):.1f} % busy", flush=True)
        local.close()
        cluster.start()
        wait_for(lambda: alive(cluster) == 1)
        cluster.start()
        wait_for(lambda: alive(cluster) == 2)
        ray = RayEngine(Table(seconds=seconds), cluster.address, Resources())
        print(f"ray: {100 * busy(ray, seconds, folder):.1f} % busy", flush=True)
        ray.close()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
