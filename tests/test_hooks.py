"""`bamctl check` where other repositories use it: as a pre-commit hook, and as a GitHub action."""

import json
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


# GitHub's command line, which keeps what it is asked, and answers from a file.
GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
  *--method*) cat "$COMMENT_FILE" >> "$CALLS"; exit "$GH_EXIT" ;;
  *) cat "$COMMENTS"; exit "$GH_EXIT" ;;
esac
"""


def test_the_action_checks_summarizes_and_writes_junit(tmp_path: Path) -> None:
    """Its steps, with the variables that GitHub's runner would set."""
    _, check, comment, upload = action()["runs"]["steps"]
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
        "AGAINST": "auto",
        "GITHUB_BASE_REF": "",
        "RUNNER_TEMP": str(tmp_path),
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
    text = (tmp_path / "bamctl-check.md").read_text()
    assert "### bamctl check" in text
    # The comment: the first one, an update of it, and without the permission a notice.
    assert "pull_request" in comment["if"]
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    calls, comments = tmp_path / "calls", tmp_path / "comments"
    there |= {
        "PATH": os.pathsep.join([str(tmp_path), there["PATH"]]),
        "GITHUB_REPOSITORY": "owner/name",
        "NUMBER": "7",
        "GH_TOKEN": "t",
        "CALLS": str(calls),
        "COMMENTS": str(comments),
        "COMMENT_FILE": str(tmp_path / "bamctl-check.md.body"),
    }
    for existing, code, expected in (
        ("", "0", "--method POST repos/owner/name/issues/7/comments"),
        ("42\n43\n", "0", "--method PATCH repos/owner/name/issues/comments/42"),
        ("", "1", None),
    ):
        calls.write_text("")
        comments.write_text(existing)
        command[-1] = comment["run"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=there | {"GH_EXIT": code},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        asked = calls.read_text()
        assert "--paginate repos/owner/name/issues/7/comments" in asked
        if expected is None:
            assert "::notice title=bamctl check::no comment" in done.stdout
        else:
            assert expected in asked
            assert f"<!-- bamctl check -->\n{text}" in asked
            assert "::notice" not in done.stdout


def test_the_action_is_complete() -> None:
    described = action()
    used = {name for step in described["runs"]["steps"] for name in _inputs_in(str(step))}
    used = {name for name in used if not name.startswith("github.")}
    conditions = " ".join(str(step.get("if", "")) for step in described["runs"]["steps"])
    used |= {name for name in described["inputs"] if f"inputs.{name} " in conditions}
    assert used == set(described["inputs"])
    assert all("shell" in step for step in described["runs"]["steps"] if "run" in step)


def _inputs_in(text: str) -> list[str]:
    return [part.split("}}")[0].strip().removeprefix("inputs.") for part in text.split("${{")[1:]]


def test_the_job_for_gitlab_checks_once_for_all_its_reports(tmp_path: Path) -> None:
    """Its last line, with the variables that GitLab's runner would set."""
    job = yaml.safe_load((REPOSITORY / ".gitlab" / "bamctl-check.yml").read_text())["bamctl-check"]
    (tmp_path / "placements").mkdir()
    (tmp_path / "placements" / "a.yaml").write_text(
        "schema: 1\nmodel: resnet18\ninput: 3x64x64\nbudget:\n  params: +0.1 %\n"
    )
    done = run(
        tmp_path, "env", "BAMCTL_PATHS=placements", "bash", "-c", job["script"][-1], check=False
    )
    assert done.returncode == 1, done.stderr
    (issue,) = json.loads((tmp_path / "bamctl-quality.json").read_text())
    assert issue["location"] == {"path": "placements/a.yaml", "lines": {"begin": 5}}
    assert issue["severity"] == "major"
    assert "exceeds +0.1 %" in issue["description"]
    assert "<failure" in (tmp_path / job["artifacts"]["reports"]["junit"]).read_text()


def test_a_push_is_held_beside_the_branch_of_the_remote(tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "placements").mkdir(parents=True)
    (own / "nets.py").write_text(NETWORK)
    (own / "placements" / "small.yaml").write_text(f"{PLACEMENT}  against: {{params: 0}}\n")
    git(own, "init", "-q", "-b", "main")
    git(own, "add", "-A")
    git(own, "commit", "-qm", "first")
    git(own, "update-ref", "refs/remotes/origin/HEAD", "HEAD")
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    (hook,) = [each for each in hooks if each.get("stages") == ["pre-push"]]
    # Git sets this for its hooks, and it must not lead to another index.
    there = ["env", f"GIT_DIR={own}/.git", *hook["entry"].split()]
    assert run(own, *there, check=False).returncode == 0
    (own / "nets.py").write_text(NETWORK.replace("Block(32, 2)]", "Block(32, 1), Block(32, 2)]"))
    refused = run(own, *there, check=False)
    assert refused.returncode == 1, refused.stderr
    assert "exceeds origin/HEAD +0 %" in " ".join(refused.stdout.split())
    assert git(own, "worktree", "list").stdout.count("\n") == 1
