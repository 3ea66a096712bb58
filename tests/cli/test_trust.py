"""Somebody else's files run nothing, through the real console script, until a person allows it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from tests.conftest import REPOSITORY, assert_one_line_error

NETS = """
import pathlib
from torch import nn

pathlib.Path(__file__).with_name("ran").touch()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.wide = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
        self.deep = nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.deep(self.wide(self.stem(x))).mean((2, 3)))
"""
OWN = {"schema": 1, "model": "nets:Net", "input": "3x32x32", "where": "wide"}
SHELL = {**OWN, "model": "os:system", "args": {"command": "touch ran"}}


class Project:
    """A project with a network of its own, which is where commands run, and a foreign folder."""

    def __init__(self, folder: Path) -> None:
        self.root, self.foreign = folder / "project", folder / "foreign"
        self.root.mkdir()
        self.foreign.mkdir()
        (self.root / "pyproject.toml").touch()
        (self.root / "nets.py").write_text(NETS)
        (self.foreign / "theirs.py").write_text(NETS)
        Image.new("RGB", (32, 32)).save(self.root / "image.png")

    @property
    def has_run(self) -> bool:
        """Whether anybody's code has run."""
        return any(self.root.parent.rglob("ran"))

    def write(self, name: str, placement: dict[str, object]) -> None:
        """A placement as YAML, or in the metadata of a file of weights."""
        path = self.foreign / name
        if path.suffix == ".yaml":
            path.write_text(yaml.safe_dump({**placement, "budget": {"params": "+90 %"}}))
        else:
            written = {"format": "pt", "bamctl_placement": json.dumps(placement)}
            save_file({"stem.weight": torch.zeros(1)}, path, written)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (["insert", "--weights"], "w.safetensors"),
        (["check"], "p.yaml"),
        (["insert", "--placement"], "p.yaml"),
        (["latency", "--placement"], "p.yaml"),
        (["train", "--placement"], "p.yaml"),
    ],
)
def test_a_placement_of_others_runs_nothing(
    command: list[str], file: str, bamctl: object, project: Project
) -> None:
    project.write(file, OWN)
    result = bamctl(*command, f"../foreign/{file}", cwd=project.root)
    assert_one_line_error(result, f"{file}, which names it, is outside", "`--trust nets:Net`")
    project.write(file, SHELL)
    result = bamctl(*command, f"../foreign/{file}", "--trust", "os:system", cwd=project.root)
    assert_one_line_error(result, "os:system is not a network", "standard library")
    assert not project.has_run


def test_a_folder_of_others_brings_no_module_of_its_own(bamctl: object, project: Project) -> None:
    project.write("p.yaml", {**OWN, "model": "theirs:Net"})
    theirs = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{project.foreign}"}
    arguments = ["insert", "--placement", "../foreign/p.yaml"]
    result = bamctl(*arguments, cwd=project.root, env=theirs)
    assert_one_line_error(result, "theirs:Net is code outside of the project", "--trust theirs:Net")
    assert not project.has_run
    trusted = bamctl(*arguments, "--trust", "theirs:Net", cwd=project.root, env=theirs)
    assert trusted.returncode == 0, trusted.stderr
    assert project.has_run


def test_a_project_s_own_placement_needs_no_flag(bamctl: object, project: Project) -> None:
    project.write("p.yaml", OWN)
    (project.root / "placements").mkdir()
    (project.foreign / "p.yaml").rename(project.root / "placements" / "p.yaml")
    assert bamctl("check", cwd=project.root).returncode == 0
    assert project.has_run


def test_trust_in_one_file_s_factory(bamctl: object, project: Project) -> None:
    project.write("good.yaml", OWN)
    project.write("shell.yaml", SHELL)
    result = bamctl(
        "check", "../foreign", "--trust", "nets:Net", "--format", "json", cwd=project.root
    )
    assert result.returncode == 2
    assert "shell.yaml:" in result.stderr
    found = {each["file"]: each["passed"] for each in json.loads(result.stdout)["checks"]}
    assert found["../foreign/good.yaml"]


def test_the_model_on_the_command_line_is_named_by_a_person(
    bamctl: object, project: Project
) -> None:
    project.write("p.yaml", {**SHELL, "args": {}})
    arguments = ["insert", "nets:Net", "--placement", "../foreign/p.yaml"]
    result = bamctl(*arguments, cwd=project.root)
    assert result.returncode == 0, result.stderr


def test_trust_names_a_factory(bamctl: object, project: Project) -> None:
    result = bamctl("check", "--trust", "nets", cwd=project.root)
    assert_one_line_error(result, "--trust 'nets' is not package.module:factory")


TRAINING = {
    **{key: OWN[key] for key in ("schema", "model", "input")},
    "num_classes": 10,
    "recipe": {"steps": 1, "lr": 0.1, "eval_every": 1},
    "seeds": [0],
    "placements": {"wide": {"where": "wide"}},
}


@pytest.mark.parametrize(
    ("command", "config"),
    [
        (["train", "--config", "../foreign/config.yaml"], TRAINING),
        (["train", "--resume", "../foreign"], TRAINING),
        (["search", "--resume", "../foreign"], {"schema": 1, "training": TRAINING, "trials": 1}),
    ],
)
def test_a_run_folder_of_others_runs_nothing(
    command: list[str], config: dict[str, object], bamctl: object, project: Project
) -> None:
    (project.foreign / "config.yaml").write_text(yaml.safe_dump(config))
    result = bamctl(*command, cwd=project.root)
    assert_one_line_error(result, "config.yaml, which names it, is outside", "`--trust nets:Net`")
    assert not project.has_run


def test_a_run_folder_of_others_can_be_trusted(bamctl: object, project: Project) -> None:
    # A network whose head takes no `num_classes` is refused, but only once it is built.
    (project.foreign / "config.yaml").write_text(yaml.safe_dump(TRAINING))
    arguments = ["train", "--config", "../foreign/config.yaml", "--trust", "nets:Net"]
    result = bamctl(*arguments, cwd=project.root)
    assert_one_line_error(result, "nets:Net(num_classes=10) failed: TypeError")
    assert project.has_run


class Deadly:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def test_a_pickle_runs_nothing(bamctl: object, project: Project) -> None:
    file = project.foreign / "w.pth"
    torch.save({"state_dict": {"x": Deadly(project.root / "ran")}}, file)
    result = bamctl("insert", "resnet18", "--weights", str(file), cwd=project.root)
    assert_one_line_error(result, "w.pth", "more than tensors")
    assert not project.has_run


SHADOWS = ("random", "socket", "typing", "torch", "torchvision", "numpy", "bamctl", "tempfile")


@pytest.fixture
def shadows(project: Project) -> Project:
    """A current folder with files that are called as modules of Python and of libraries are."""
    for name in SHADOWS:
        (project.root / f"{name}.py").write_text(
            f"import os\nopen({str(project.root / 'ran')!r}, 'a').write({name!r})\n"
        )
    return project


def test_files_here_do_not_run_beside_a_factory(script: object, shadows: Project) -> None:
    (shadows.root / "nets.py").write_text(NETS.replace("pathlib.Path", "import torchvision #"))
    arguments = ["nets:Net", "--input", "3x32x32", "--where", "wide", "--out", "net.py"]
    result = script("insert", *arguments, cwd=shadows.root)
    assert result.returncode == 0, result.stderr
    assert not shadows.has_run


def test_python_m_takes_nothing_from_the_current_folder(project: Project) -> None:
    (project.root / "typer.py").write_text("import pathlib; pathlib.Path('ran').touch()")
    result = subprocess.run(
        [sys.executable, "-m", "bamctl", "--version"],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert not project.has_run
