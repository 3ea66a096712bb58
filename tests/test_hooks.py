"""`bamctl check` where other repositories use it: as a pre-commit hook, and as a GitHub action."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY, SCRIPT

NETWORK = """
from torch import nn

class Block(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1)
        )

    def forward(self, x):
        return self.layers(x)

def small():
    blocks = [Block(3, 2), Block(32, 2), Block(32, 2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4))
"""
# By hand: a 3x3 convolution of 3 channels, five of 32, and the linear layer.
BASE = (3 * 32 * 9 + 32) + 5 * (32 * 32 * 9 + 32) + (32 * 4 + 4)
# A BAM of 32 channels at r=16 has 32*2+2 + 2*32+32 + 64 + 32*2+2 + 2*(9*4+2) + 2+1 + 2.
ADDED = 2 * (66 + 96 + 64 + 66 + 76 + 3 + 2)
PLACEMENT = "schema: 1\nmodel: nets:small\ninput: 3x32x32\nwhere: bottleneck\nbudget:\n"


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    there = os.environ | {
        "PATH": os.pathsep.join([str(SCRIPT.parent), os.environ["PATH"]]),
        "PRE_COMMIT_HOME": str(folder.parent / "cache"),
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=check, env=there
    )


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    options = ("-c", "core.hooksPath=.git/hooks", "-c", "protocol.file.allow=always")
    return run(folder, "git", *options, *arguments, check=check)


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """A repository with this one's hooks, as pre-commit would fetch it."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    shutil.copy(REPOSITORY / ".pre-commit-hooks.yaml", folder)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "hooks")
    return folder


def test_a_commit_that_breaks_the_budget_is_refused(hooks: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "placements").mkdir(parents=True)
    (own / "nets.py").write_text(NETWORK)
    placement = own / "placements" / "small.yaml"
    placement.write_text(f"{PLACEMENT}  params: {BASE + ADDED} params\n")
    revision = git(hooks, "rev-parse", "HEAD").stdout.strip()
    # Installed here already; the environment that pre-commit would make holds all of torch.
    hook = {"id": "bamctl-check", "language": "system"}
    config = {"repos": [{"repo": str(hooks), "rev": revision, "hooks": [hook]}]}
    (own / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    git(own, "init", "-q")
    run(own, sys.executable, "-m", "pre_commit", "install")
    git(own, "add", "-A")
    fine = git(own, "commit", "-m", "within the budget", check=False)
    assert fine.returncode == 0, fine.stdout + fine.stderr
    placement.write_text(placement.read_text() + "attention: {reduction: 4}\n")
    git(own, "add", "-A")
    refused = git(own, "commit", "-m", "over the budget", check=False)
    assert refused.returncode == 1
    said = " ".join((refused.stdout + refused.stderr).split())
    assert "placements/small.yaml:6: params" in said
    assert git(own, "log", "--oneline").stdout.count("\n") == 1
    # What changes the network is checked too, and what does neither is not.
    git(own, "checkout", "-q", "--", ".")
    git(own, "reset", "-q", "--hard")
    (own / "nets.py").write_text(NETWORK.replace("Block(32, 2)]", "Block(32, 1), Block(32, 2)]"))
    git(own, "add", "-A")
    assert git(own, "commit", "-m", "a larger network", check=False).returncode == 1
    git(own, "reset", "-q", "--hard")
    (own / "notes.txt").write_text("nothing")
    git(own, "add", "-A")
    skipped = git(own, "commit", "-m", "notes", check=False)
    assert skipped.returncode == 0
    assert "Skipped" in skipped.stdout + skipped.stderr


def action() -> dict[str, object]:
    path = REPOSITORY / ".github" / "actions" / "check" / "action.yml"
    return yaml.safe_load(path.read_text())


def test_the_action_checks_summarizes_and_writes_junit(tmp_path: Path) -> None:
    """Its middle step, with the variables that GitHub's runner would set."""
    _, check, upload = action()["runs"]["steps"]
    (tmp_path / "placements").mkdir()
    (tmp_path / "placements" / "a.yaml").write_text(
        "schema: 1\nmodel: resnet18\ninput: 3x64x64\nbudget:\n  params: +0.1 %\n"
    )
    there = os.environ | {
        "PATH": os.pathsep.join([str(SCRIPT.parent), os.environ["PATH"]]),
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "PATHS": "placements",
        "BASELINE": "",
        "JUNIT": "junit.xml",
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", check["run"]]
    result = subprocess.run(
        command, cwd=tmp_path, env=there, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout.startswith("::error file=placements/a.yaml,line=5,")
    assert (tmp_path / "summary.md").read_text().count("### bamctl check") == 1
    assert "<failure" in (tmp_path / "junit.xml").read_text()
    assert upload["if"] == "always()"


def test_the_action_is_complete() -> None:
    described = action()
    used = {name for step in described["runs"]["steps"] for name in _inputs_in(str(step))}
    assert used == set(described["inputs"])
    assert all("shell" in step for step in described["runs"]["steps"] if "run" in step)


def _inputs_in(text: str) -> list[str]:
    return [part.split("}}")[0].strip().removeprefix("inputs.") for part in text.split("${{")[1:]]
