"""How much longer `bamctl check --against HEAD` takes than `bamctl check`.

    python -m tests.benchmarks.against [ROUNDS]

Over the placements of this repository, where nothing is changed; then with a network of one's own
beside them whose code is changed, which is built and traced in a second process.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.conftest import REPOSITORY, SCRIPT

OWN = "model: nets:small\ninput: 3x224x224\nwhere: block\nbudget: {params: +50 %}\n"
NETS = """import torchvision


def small():
    return torchvision.models.resnet50(num_classes=CLASSES)
"""


def seconds(folder: Path, *options: str) -> float:
    """Return how long a check takes."""
    begun = perf_counter()
    done = subprocess.run(
        [SCRIPT, "check", *options], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return perf_counter() - begun


def ratio(folder: Path, rounds: int) -> float:
    """Return the median of the ratios of both commands, run in turn."""
    return median(seconds(folder, "--against", "HEAD") / seconds(folder) for _ in range(rounds))


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    named = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True, env=os.environ)


def main(rounds: int = 5) -> None:
    """Print both ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(REPOSITORY / "placements", folder / "placements")
        (folder / "pyproject.toml").touch()
        (folder / "nets.py").write_text(NETS.replace("CLASSES", "10"))
        git(folder, "init", "-q")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "base")
        print(f"nothing changed: {ratio(folder, rounds):.2f} (limit 1.3)", flush=True)
        (folder / "placements" / "own.yaml").write_text(OWN)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "own")
        (folder / "nets.py").write_text(NETS.replace("CLASSES", "20"))
        print(f"a network changed: {ratio(folder, rounds):.2f} (limit 2.2)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
