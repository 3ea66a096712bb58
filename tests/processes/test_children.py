"""Files in the current folder run in no child process in place of Python's own modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PROGRAM = """
import os
from concurrent.futures import ProcessPoolExecutor
from bamctl.processes import children

def answer(number):
    import colorsys
    return number + 1, colorsys.__file__.startswith(os.path.dirname(os.__file__))

if __name__ == "__main__":
    {setup}
    with ProcessPoolExecutor(1, children.spawn_context()) as pool:
        print(pool.submit(answer, 41).result())
    print(os.environ.get("PYTHONSAFEPATH"))
"""
BOTH = """
from bamctl.placement.placement import Placement
from bamctl.engines.engine import LocalEngine
from bamctl.nas.jobs import Job, Outcome
from bamctl.analysis.sweep import sweep

def evaluate(job):
    return Outcome((1.0,), 0, 0.0)

if __name__ == "__main__":
    for found in sweep(["squeezenet1_1"], Placement(), jobs=2):
        print(found.model)
    engine = LocalEngine(evaluate, 1)
    print(engine.submit(Job((), 1, (0,))).result().score)
    engine.close()
"""
READERS = """
import multiprocessing
import torch
from bamctl.data.images import ArrayImages
from bamctl.training._loader import evaluation_batches

if __name__ == "__main__":
    multiprocessing.set_start_method("{method}")
    images = ArrayImages(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4))
    for batch in evaluation_batches(images, 2, rank=0, processes=1, workers=1):
        print(batch.targets.tolist())
"""
# Python 3.10 has only the second way; it works in all.
WAYS = {
    "as this Python has it": "",
    "as Python 3.10 has it": "children.safe_path = children.isolated",
}
# What a process of multiprocessing imports, what its resource tracker does, and what its task does.
SHADOWS = ("random", "socket", "signal", "tempfile", "multiprocessing", "threading", "colorsys")


def run_beside_shadows(text: str, folder: Path) -> str:
    """What a program prints that is run in a folder with files called as Python's modules are."""
    here, elsewhere = folder / "here", folder / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    for name in SHADOWS:
        (here / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r})")
    program = elsewhere / "program.py"
    program.write_text(text)
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_a_child_takes_nothing_from_the_current_folder(way: str, tmp_path: Path) -> None:
    said = run_beside_shadows(PROGRAM.format(setup=WAYS[way]), tmp_path)
    # The environment of the process itself is as it was.
    assert said == "(42, True)\nNone\n"
    assert not (tmp_path / "ran").exists()


def test_the_processes_of_sweeps_and_searches_are_such_children(tmp_path: Path) -> None:
    assert run_beside_shadows(BOTH, tmp_path) == "squeezenet1_1\n(1.0,)\n"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_the_readers_of_images_are_such_children(method: str, tmp_path: Path) -> None:
    """As Python 3.14, and macOS, start them where nothing else is said."""
    assert run_beside_shadows(READERS.format(method=method), tmp_path) == "[0, 1]\n[2, 3]\n"
    assert not (tmp_path / "ran").exists()
