"""What the tests share: one thread for each worker, cached networks, and the console script."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch

from tests import console
from tests.console import SCRIPT

__all__ = ["SCRIPT"]

REPOSITORY = Path(__file__).parent.parent


def pytest_collection_finish() -> None:
    _look_away_from_imports(len(sys.modules))


def pytest_runtest_setup() -> None:
    # Hundreds of modules at a time are imported only when a test needs them.
    _look_away_from_imports(len(sys.modules) // 100 * 100)


@cache
def _look_away_from_imports(_: int) -> None:
    """Look for garbage in what tests make, and not in all that is imported and stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    """Two workers on two cores get in each other's way with more; seeds make failures repeat."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bamctl(tmp_path: Path) -> Run:
    """Runs the console script in an empty folder, in a process that has imported torch already."""

    def run(
        *arguments: str, cwd: Path = tmp_path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return console.run(arguments, cwd=cwd, env=env)

    return run


@pytest.fixture
def script(tmp_path: Path) -> Run:
    """Runs the console script in an empty folder, in an interpreter of its own."""

    def run(
        *arguments: str, cwd: Path = tmp_path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return console.run_real(arguments, cwd=cwd, env=env)

    return run


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """Runs a Python program in a fresh process in an empty folder."""

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def forked(tmp_path: Path) -> Run:
    """Runs a Python program in an empty folder, in a process that has imported torch already."""

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return console.run_text(program, *arguments, cwd=tmp_path)

    return run


@pytest.fixture
def quick_workers() -> Iterator[None]:
    """Workers that a test starts are forks of a process that has imported torch already."""
    with console.quick_workers():
        yield


def assert_one_line_error(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit 2, nothing on standard output, one line on standard error that says all the words."""
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    lines: Sequence[str] = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0], lines[0]
