"""The engine that runs trials on a Ray cluster, and again on another node if one is lost."""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bamctl.engines.engine import Evaluate, Shared
from bamctl.errors import BamctlError, InputError, first_line
from bamctl.processes.pool import collected

_CONNECT_SECONDS, _ANSWER_SECONDS = 5, 15
# The number of times that Ray reruns a job whose process or node has died.
_RETRIES = 10


@dataclass(frozen=True)
class Resources:
    """Resources of one trial on a node; `gpus` may be a fraction."""

    cpus: int = 1
    gpus: float = 0.0


class RayEngine:
    """Engine of tasks on a Ray cluster; its object store holds the data once.

    Args:
        evaluate: the function that a task applies to a job.
        address: `auto` for the cluster of this machine, or HOST:PORT.
        resources: of one task.
        workers: the number of concurrent tasks; as many as fit on the cluster if None.

    Raises:
        InputError: the address is invalid, or no node has such resources.
        BamctlError: Ray is not installed, or no cluster answers there.
    """

    def __init__(
        self, evaluate: Evaluate, address: str, resources: Resources, workers: int | None = None
    ) -> None:
        self._ray = _connected(address)
        self.slots = workers or _room(self._ray, resources)
        self._evaluate = self._ray.put(evaluate)
        self._task = self._ray.remote(
            num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=_RETRIES
        )(_run)

    def submit(self, job: Any) -> "Future[Any]":
        """Submit a job."""
        future: Future[Any] = self._task.remote(self._evaluate, job).future()
        return future

    def share(self, file: Path) -> Shared:
        """Put a file in the object store; the driver's copy outlives any other node."""
        return StoredFile(self._ray.put(file.read_bytes()))

    def close(self) -> None:
        """Disconnect from the cluster, which ends all tasks of this driver."""
        self._ray.shutdown()


@dataclass(frozen=True)
class StoredFile:
    """A file in Ray's object store, written to a temporary one where it is read."""

    content: Any

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """Yield the path of a temporary copy."""
        import ray

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shared"
            path.write_bytes(ray.get(self.content))
            yield path


def _run(evaluate: Evaluate, job: Any) -> Any:
    return collected(evaluate, job)


def _connected(address: str) -> Any:
    try:
        # Send no usage statistics.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError:
        raise BamctlError("--engine ray needs Ray: `pip install 'bamctl[ray]'`") from None
    check_answers(address)
    # Ray itself waits minutes for a cluster that does not answer.
    waiting = ThreadPoolExecutor(1).submit(
        ray.init,
        address=address,
        job_config=_job_config(),
        log_to_driver=False,
        logging_level=logging.ERROR,
        include_dashboard=None,
    )
    try:
        waiting.result(_ANSWER_SECONDS)
    except FutureTimeoutError:
        raise BamctlError(
            f"no Ray cluster responded at {address} within {_ANSWER_SECONDS} s; start one with "
            "`ray start --head`"
        ) from None
    except Exception as error:
        raise BamctlError(
            f"cannot use the Ray cluster at {address}: {first_line(error)}; start one with "
            "`ray start --head`"
        ) from error
    return ray


def _job_config() -> Any:
    """Return a job configuration whose workers import installed modules only.

    Unless a job has a working directory, Ray puts the driver's current folder first on the path,
    where a file called random.py would shadow the standard library's.
    """
    from ray.job_config import JobConfig

    class Plain(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return Plain()


def check_answers(address: str) -> None:
    """Raise for an address at which nothing listens; `auto` is left to Ray.

    Raises:
        InputError: it is invalid.
        BamctlError: nothing listens there.
    """
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 2**16):
        raise InputError(f"--address {address!r} is not auto or HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise BamctlError(
            f"cannot connect to {address} ({error.strerror or error}); start a Ray cluster with "
            "`ray start --head`"
        ) from error


def _room(ray: Any, resources: Resources) -> int:
    """Return the number of tasks all nodes together can run at a time."""
    wanted = {"CPU": resources.cpus, "GPU": resources.gpus}
    room = sum(
        min(int(node["Resources"].get(kind, 0) / each) for kind, each in wanted.items() if each)
        for node in ray.nodes()
        if node["Alive"]
    )
    if not room:
        raise InputError(
            f"no node of the Ray cluster has {resources.cpus} CPUs and {resources.gpus:g} GPUs "
            "for a trial"
        )
    return room
