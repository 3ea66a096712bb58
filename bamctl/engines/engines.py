"""The engines by the names of `--engine`."""

import os
from collections.abc import Callable

from bamctl.engines.engine import Engine, Evaluate, LocalEngine
from bamctl.processes import signals


def _local(evaluate: Evaluate, workers: int | None, cpus: int, gpus: float, at: str) -> Engine:
    return LocalEngine(evaluate, workers or max((os.cpu_count() or 1) // cpus, 1))


def _ray(evaluate: Evaluate, workers: int | None, cpus: int, gpus: float, at: str) -> Engine:
    from bamctl.engines.cluster import RayEngine, Resources

    engine = RayEngine(evaluate, at, Resources(cpus, gpus), workers)
    # Ray replaces the signal handler.
    signals.catch_again()
    return engine


# Arguments: the function of a job, workers, CPUs and GPUs of a job, and the address of a cluster.
ENGINES: dict[str, Callable[[Evaluate, int | None, int, float, str], Engine]] = {
    "local": _local,
    "ray": _ray,
}
