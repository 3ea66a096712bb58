"""`bamctl check --against` in git repositories that the tests make."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import assert_one_line_error
from tests.interrupting import started

NETS = """
import os
import time

from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1)
        self.two = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.two(self.one(x))


class Net(nn.Module):
    def __init__(self, blocks=BLOCKS):
        super().__init__()
        held = os.environ.get("HELD")
        if held:
            with open(held, "w"):
                pass
            time.sleep(600)
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.first = nn.Sequential(*[Block(8) for _ in range(blocks)])
        self.down = nn.Conv2d(8, 16, 3, 2, 1)
        self.second = Block(16)

    def forward(self, x):
        return self.second(self.down(self.first(self.stem(x)))).mean((2, 3))
"""
# A block has two 3x3 convolutions of eight channels with biases.
BLOCK = 2 * (8 * 8 * 9 + 8)
# An SE of r=16 on C channels has 2 C weights, 1 + C biases.
SE_8, SE_16 = 2 * 8 + 1 + 8, 2 * 16 + 1 + 16


def nets(blocks: int) -> str:
    return NETS.replace("BLOCKS", str(blocks))


def placement(where: str = "block", **budget: object) -> str:
    return yaml.safe_dump(
        {
            "model": "nets:Net",
            "input": "3x32x32",
            "where": where,
            "attention": {"module": "se"},
            "budget": {"params": "+50 %", **budget},
        }
    )


class Repository:
    """A git repository with a network of its own and a placement, committed on `main`."""

    def __init__(self, folder: Path, run: Callable) -> None:
        self.folder = folder
        self._run = run
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.write("pyproject.toml", "")
        self.write("nets.py", nets(1))
        self.write("placements/a.yaml", placement())
        self.commit()

    def git(self, *arguments: str) -> str:
        named = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *named, "-c", "protocol.file.allow=always", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")

    def check(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        there = {**os.environ, **env}
        return self._run("check", *arguments, cwd=self.folder, env=there)

    def against(self, *arguments: str, **env: str) -> dict:
        found = self.check(*arguments, "--format", "json", **env)
        assert found.returncode in (0, 1), found.stderr
        return json.loads(found.stdout)["against"]

    def worktrees(self) -> int:
        return self.git("worktree", "list").count("\n")


@pytest.fixture
def repository(bamctl: Callable, tmp_path: Path) -> Repository:
    return Repository(tmp_path / "own", bamctl)


def test_a_network_that_grows_and_placements_that_come_and_go(repository: Repository) -> None:
    repository.write("placements/b.yaml", placement("second"))
    repository.write("placements/c.yaml", placement("first"))
    repository.write("placements/d.yaml", placement("down"))
    repository.commit()
    repository.git("checkout", "-qb", "change")
    repository.write("nets.py", nets(2))
    repository.write("placements/a.yaml", placement(against={"params": "+1 k params", "macs": 0}))
    repository.git("mv", "placements/c.yaml", "placements/renamed.yaml")
    repository.git("rm", "-q", "placements/d.yaml")
    repository.commit()
    # What is not committed counts as today's.
    repository.write("placements/new.yaml", placement("stem"))
    data = repository.against("--against", "main")
    assert data["ref"] == "main"
    assert data["commit"] == repository.git("rev-parse", "main").strip()
    assert data["problems"] == []
    found = {each["name"].removeprefix("placements/"): each for each in data["placements"]}
    assert {name: each["status"] for name, each in found.items()} == {
        "a.yaml": "changed",
        "b.yaml": "changed",
        "renamed.yaml": "renamed",
        "new.yaml": "new",
        "d.yaml": "removed",
    }
    assert found["renamed.yaml"]["was"] == "placements/c.yaml"
    # Another block, with another SE where there is one in every block.
    assert found["a.yaml"]["figures"]["params"]["difference"] == BLOCK + SE_8
    assert found["b.yaml"]["figures"]["params"]["difference"] == BLOCK
    # On maps of 16x16, each weight of the block works for every pixel.
    macs = found["b.yaml"]["figures"]["macs"]
    assert macs["difference"] == 2 * 8 * 8 * 9 * 16 * 16
    assert found["new.yaml"]["figures"]["params"]["before"] is None
    assert found["d.yaml"]["figures"]["params"]["after"] is None
    table = repository.check("--against", "main")
    assert table.returncode == 1
    text = " ".join(table.stdout.split())
    assert f"exceeds main +1 k params by {BLOCK + SE_8 - 1000}" in text
    assert "placements/a.yaml:" in text
    assert "main +0 %" in text
    assert "renamed from placements/c.yaml" in text
    assert repository.worktrees() == 1
    # The network is the same where nothing is changed, and so are its figures.
    repository.git("stash", "-q", "--include-untracked")
    same = repository.against("--against", "HEAD")
    assert {each["status"] for each in same["placements"]} == {"unchanged"}


def test_nothing_of_the_working_tree_is_touched(repository: Repository) -> None:
    repository.write("placements/b.yaml", placement("second"))
    repository.git("stash", "-q", "--include-untracked")
    repository.write("nets.py", nets(2))
    repository.git("add", "nets.py")
    repository.write("untracked.txt", "mine")
    # A hook of the user's is not run for the worktree, and a file of his shadows no module there.
    hook = repository.folder / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {repository.folder}/hooked\n")
    hook.chmod(0o755)
    before = state(repository.folder)
    assert repository.check("--against", "main").returncode == 0
    assert state(repository.folder) == before
    assert repository.worktrees() == 1


def state(folder: Path) -> dict[str, bytes]:
    """The bytes of all files but git's record of worktrees, and of its objects and index."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_base_that_moved_on_is_not_compared_with(repository: Repository) -> None:
    repository.git("checkout", "-qb", "change")
    repository.write("notes.txt", "a change")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write("nets.py", nets(3))
    repository.commit()
    repository.git("checkout", "-q", "change")
    (own,) = repository.against("--against", "main")["placements"]
    assert own["status"] == "unchanged"
    # A pull request is checked out as its merge, here detached, into the base of that time.
    repository.git("checkout", "-q", "--detach", "main")
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "change")
    repository.git("update-ref", "refs/remotes/origin/main", "main")
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main", "GITHUB_STEP_SUMMARY": ""}
    data = repository.against("--against", "auto", **actions)
    assert data["commit"] == repository.git("rev-parse", "main").strip()
    assert [each["status"] for each in data["placements"]] == ["unchanged"]
    gitlab = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": repository.git("rev-parse", "HEAD^2").strip()}
    (grown,) = repository.against("--against", "auto", **gitlab)["placements"]
    assert grown["figures"]["params"]["difference"] == 2 * (BLOCK + SE_8)
    assert_one_line_error(
        repository.check("--against", "auto", GITHUB_ACTIONS="", GITHUB_BASE_REF=""),
        "name it, as in --against main",
    )


def test_what_cannot_be_compared_warns_and_fails_if_strict(
    repository: Repository, bamctl: Callable, tmp_path: Path
) -> None:
    def refused(words: str, *arguments: str, at: Repository = repository, **env: str) -> None:
        lax = at.check("--against", *arguments, "--format", "json", **env)
        assert lax.returncode == 0, lax.stderr
        (problem,) = json.loads(lax.stdout)["against"]["problems"]
        assert words in problem
        assert f"warning: not compared with {arguments[0]}: {problem}" in lax.stderr
        assert at.check("--against", *arguments, "--strict", **env).returncode == 3
        assert at.worktrees() == 1

    refused("there is no commit 'nowhere' here; `git fetch` it", "nowhere")
    # Without placements there, without git, and in a clone that has no past.
    repository.git("checkout", "-q", "--orphan", "empty")
    repository.git("rm", "-rqf", "--cached", ".")
    repository.git("commit", "-q", "--allow-empty", "-m", "empty")
    repository.git("branch", "-q", "without")
    repository.git("add", "-A")
    repository.git("commit", "-qm", "all")
    refused("without has no placement in placements; it is new today", "without")
    refused("git is not installed", "main", PATH=str(tmp_path))
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.folder}", tmp_path / "s")
    shallow = object.__new__(Repository)
    shallow.folder, shallow._run = tmp_path / "s", bamctl
    refused("in a shallow clone; fetch its history", "HEAD~1", at=shallow)
    outside = tmp_path / "outside"
    (outside / "placements").mkdir(parents=True)
    file = "model: resnet18\ninput: 3x64x64\nbudget: {params: +2 %}\n"
    (outside / "placements/a.yaml").write_text(file)
    found = bamctl("check", "--against", "main", cwd=outside)
    assert found.returncode == 0
    assert "in no git repository" in found.stderr


def test_old_code_that_does_not_run_today(repository: Repository) -> None:
    repository.write("nets.py", "import a_library_that_is_gone\n")
    repository.commit()
    repository.git("branch", "broken")
    repository.write("nets.py", nets(1))
    repository.commit()
    data = repository.against("--against", "broken")
    (problem,) = data["problems"]
    assert problem.startswith("placements/a.yaml: ")
    assert "No module named 'a_library_that_is_gone'" in problem
    assert "bamctl-against" not in problem
    assert repository.check("--against", "broken", "--strict").returncode == 3


def test_old_code_writes_nothing_into_todays_tree(repository: Repository) -> None:
    """And finds no module that is new today."""
    there = repository.folder
    writing = (
        f"import os\nfor path in ({str(there / 'planted')!r}, {str(there / 'nets.py')!r}):\n"
        "    try:\n        open(path, 'a').write('x = 1')\n    except PermissionError:\n"
        "        continue\n    raise SystemExit('it was written')\n"
        f"try:\n    os.mkdir({str(there / 'made')!r})\nexcept PermissionError:\n    pass\n"
        "try:\n    import added_today\nexcept ModuleNotFoundError:\n    pass\n"
        "else:\n    raise SystemExit('it was found')\n"
        "open('mine', 'w').close()\n"
    )
    repository.write("nets.py", writing + nets(1))
    repository.commit()
    repository.git("branch", "old")
    repository.write("nets.py", nets(2))
    repository.write("added_today.py", "")
    repository.commit()
    data = repository.against("--against", "old")
    assert data["problems"] == []
    (own,) = data["placements"]
    assert own["figures"]["params"]["difference"] == BLOCK + SE_8
    assert repository.git("status", "--short") == ""


def test_names_that_are_hard_to_quote(repository: Repository) -> None:
    name = "placements/a 'quoted' \"name\"\nof two lines.yaml"
    repository.write(name, placement("second"))
    repository.commit()
    repository.git("checkout", "-qb", 'it\'s-a-"branch"')
    repository.write("nets.py", nets(2))
    repository.commit()
    data = repository.against("--against", "main")
    grown = next(each for each in data["placements"] if each["name"] == name)
    assert grown["figures"]["params"]["difference"] == BLOCK
    back = repository.against("--against", 'it\'s-a-"branch"')
    assert {each["status"] for each in back["placements"]} == {"unchanged"}
    assert_one_line_error(
        repository.check("--against", "main", "--format", "tabel"), "did you mean 'table'"
    )
    option = repository.check("--against", "--upload-pack=touch x")
    assert "there is no commit" in option.stderr


def test_the_past_gets_no_more_rights_than_today(repository: Repository, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("model: resnet18\nbudget: {params: +1 %}\npassword: hunter2\n")
    (repository.folder / "placements/link.yaml").symlink_to(secret)
    foreign = {"model": "torchvision.models:resnet18", "budget": {"params": "+2 %"}}
    repository.write("placements/foreign.yaml", yaml.safe_dump(foreign))
    repository.commit()
    repository.git("checkout", "-qb", "change")
    repository.git("rm", "-q", "placements/link.yaml", "placements/foreign.yaml")
    repository.write("nets.py", nets(2))
    repository.commit()
    found = repository.check("--against", "main", "--format", "json")
    problems = json.loads(found.stdout)["against"]["problems"]
    assert any("link.yaml is a link out of the repository" in each for each in problems)
    assert any("torchvision.models:resnet18 is code outside" in each for each in problems)
    assert "hunter2" not in found.stdout + found.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_comparison_leaves_no_worktree(
    repository: Repository, tmp_path: Path, number: signal.Signals
) -> None:
    repository.git("checkout", "-qb", "change")
    repository.write("nets.py", nets(2))
    repository.commit()
    held = tmp_path / "held"
    env = {"HELD": str(held), "TMPDIR": str(tmp_path)}
    with started(repository.folder, "check", "--against", "main", **env) as command:
        command.wait_for(lambda _: held.exists() and repository.worktrees() == 2)
        command.end(number)
    if number == signal.SIGKILL:
        assert repository.worktrees() == 2
        assert repository.check("--against", "main", TMPDIR=str(tmp_path)).returncode == 0
    assert repository.worktrees() == 1
    assert not list(tmp_path.glob("bamctl-against-*"))


def test_figures_over_time(repository: Repository) -> None:
    for blocks in (1, 2):
        repository.write("nets.py", nets(blocks))
        repository.commit()
        formats = ("--format", "html=page.html", "--format", "junit=check.xml", "--format", "csv")
        found = repository.check("--record", "figures.jsonl", *formats)
        assert found.returncode == 0, found.stderr
        assert found.stdout.startswith("file,")
    lines = [json.loads(line) for line in (repository.folder / "figures.jsonl").open()]
    assert [line["commit"] for line in lines] == repository.git("log", "--format=%H", "-2").split()[
        ::-1
    ]
    assert [line["is_dirty"] for line in lines] == [False, False]
    first, second = (line["figures"]["params"]["value"] for line in lines)
    assert second - first == BLOCK + SE_8
    assert "over time" in (repository.folder / "page.html").read_text()
    repository.write("notes.txt", "not committed")
    assert repository.check("--record", "figures.jsonl").returncode == 0
    last = (repository.folder / "figures.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["is_dirty"]
    assert "<testsuites" in (repository.folder / "check.xml").read_text()
    with (repository.folder / "figures.jsonl").open("a") as file:
        file.write("{}\n")
    assert_one_line_error(repository.check("--record", "figures.jsonl"), "figures.jsonl:4:")
    for wrong, words in (
        (["--format", "table", "--format", "csv"], "two formats are for the screen"),
        (["--format", "csv=x", "--format", "json=x"], "two formats are for "),
        (["--format", "csv="], "name the file"),
        (["--format", "csv=x", "--output", "y"], "every format has a file; drop --output"),
    ):
        assert_one_line_error(repository.check(*wrong), words)
