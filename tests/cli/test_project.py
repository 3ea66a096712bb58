"""Defaults of a project: `[tool.bamctl]` in pyproject.toml, and commands without a model."""

import json
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from PIL import Image

from bamctl.cli.app import run

# Two blocks of two 3x3 convolutions, to w and to 2 w channels, and a head without a bias:
# 9 * (3 w + w^2 + 2 w^2 + 4 w^2) weights, 6 w biases, and 2 w weights for each class.
NETWORK = """
from torch import nn

class Block(nn.Sequential):
    def __init__(self, before, after):
        super().__init__(
            nn.Conv2d(before, after, 3, 2, 1), nn.ReLU(), nn.Conv2d(after, after, 3, 1, 1)
        )
    def forward(self, x):
        return super().forward(x)

class Net(nn.Module):
    def __init__(self, width=2, num_classes=10):
        super().__init__()
        self.first, self.last = Block(3, width), Block(width, 2 * width)
        self.head = nn.Linear(2 * width, num_classes, bias=False)
    def forward(self, x):
        return self.head(self.last(self.first(x)).mean((2, 3)))
"""
TABLE = """
[project]
name = "mine"

[tool.bamctl]
model = "nets_of_project:Net"
args = {width = 4}
input = "3x32x32"
num_classes = 20
where = ["block"]
"""
PARAMS = 9 * (12 + 16 + 32 + 64) + 6 * 4 + 20 * 8


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a network of its own, in which the commands run."""
    (tmp_path / "nets_of_project.py").write_text(NETWORK)
    (tmp_path / "pyproject.toml").write_text(TABLE)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "nets_of_project", raising=False)
    return tmp_path


def data(*arguments: str) -> dict[str, object]:
    """The JSON that a command gives, in a subfolder or wherever it runs."""
    assert run([*arguments, "--format", "json", "--output", "out.json"]) == 0
    return json.loads(Path("out.json").read_text())


ESTIMATE = ("latency", "--device", "rtx4090")
LIMITED = ("check", "--max-params", "+900 %")
SEARCH = ("search", "--dry-run", "--candidates", "block")
TRAIN = ("train", "--steps", "1", "--seeds", "1", "--batch-size", "4", "--out", "run")


@pytest.mark.parametrize("command", [("analyze",), ("insert",), ESTIMATE, LIMITED, SEARCH, TRAIN])
@pytest.mark.parametrize("folder", [".", "sub"])
def test_a_command_without_a_model(
    command: tuple[str, ...], folder: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if folder == "sub" and command is TRAIN:
        pytest.skip("where it is called from is settled by the others")
    monkeypatch.chdir(project / folder)
    found = data(*command)
    if command is LIMITED:
        (found,) = found["checks"]
        assert (found["model"], found["base"]) == ("nets_of_project:Net", PARAMS)
        return
    assert found["model"] == "nets_of_project:Net"
    assert found.get("params", PARAMS) == PARAMS
    modules = found.get("modules", ["first", "last"])
    assert modules == ["first", "last"]


@pytest.mark.parametrize("command", [("analyze",), ("insert",), ESTIMATE, LIMITED, SEARCH, TRAIN])
def test_options_win_over_the_table(command: tuple[str, ...], project: Path) -> None:
    found = data(*command, "--arg", "width=6", "--num-classes", "15")
    params = 9 * (18 + 36 + 72 + 144) + 6 * 6 + 15 * 12
    if command is LIMITED:
        assert found["checks"][0]["base"] == params
    elif command is not ESTIMATE:
        assert found.get("params", params) == params
    if command[0] in ("insert", "latency"):
        assert data(*command, "--where", "first")["modules"] == ["first"]


def test_a_model_on_the_command_line_has_nothing_of_the_table(project: Path) -> None:
    found = data("insert", "resnet18")
    # The input, the classes, the argument and the sites of the table are of its own model.
    assert (found["params"], found["modules"]) == (11_689_512, ["layer1", "layer2", "layer3"])


@pytest.mark.parametrize(
    "command", ["analyze", "insert", "latency", "train", "search", "check --init"]
)
def test_without_table_and_model_the_error_says_both_ways(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(command.split()) == 2
    error = capsys.readouterr().err
    assert f"no model: name one, as in `bamctl {command} resnet50`, or " in error
    assert "set `model` under [tool.bamctl] in pyproject.toml" in error


@pytest.mark.parametrize(
    ("table", "line", "words"),
    [
        ('[tool.bamctl]\nmodel = "resnet18"\n\nmodle = 1\n', 4, "(did you mean 'model'?)"),
        ("[tool.ruff]\nmodle = 1\n[tool.bamctl]\ninput = 3\nmodle = 1\n", 5, "unknown key 'modle'"),
        ('[tool.bamctl]\nmodel = "resnet18"\nnum_classes = 0\n', 3, "num_classes: should be"),
        ('[tool.bamctl]\nmodel = "resnet18"\n[tool.bamctl.args]\na = 1\nb = 1979-05-27\n', 5, "b"),
        ("[tool.bamctl]\nmodel = resnet18\n", 2, "not valid TOML"),
    ],
)
def test_a_broken_table(
    table: str, line: int, words: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").write_text(table)
    for command in ("insert", "config"):
        assert run([command]) == 2
        error = capsys.readouterr().err
        assert f"pyproject.toml:{line}: " in error
        assert words in error


def test_of_two_tables_the_nearest_counts(project: Path, monkeypatch: object) -> None:
    (project / "sub" / "deeper").mkdir()
    (project / "sub" / "pyproject.toml").write_text('[tool.bamctl]\nmodel = "alexnet"\n')
    monkeypatch.chdir(project / "sub" / "deeper")
    found = data("config")
    # Nothing is mixed: the outer one's arguments are of its own network.
    assert {key: found[key] for key in found if key not in ("schema", "file")} == {
        "model": "alexnet"
    }
    assert found["file"] == str(project / "sub" / "pyproject.toml")


def test_a_file_without_a_table_is_passed_by_even_if_it_is_broken(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text('[tool.bamctl]\nmodel = "resnet18"\n')
    (project / "sub" / "pyproject.toml").write_text("[tool.other\n")
    monkeypatch.chdir(project / "sub")
    assert data("config")["file"] == str(project / "pyproject.toml")


def test_code_that_only_the_table_names_must_be_the_project_s(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Below another project, the outer table is no longer of this one.
    (project / "sub" / ".git").mkdir()
    (project / "sub" / "nets_of_project.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.chdir(project / "sub")
    for command in (("analyze",), TRAIN, SEARCH):
        assert run(list(command)) == 2
        error = capsys.readouterr().err
        assert "pyproject.toml:6: nets_of_project:Net is code" in error
        assert "if you trust it, add `--trust nets_of_project:Net`" in error
    assert "nets_of_project" not in sys.modules


@pytest.mark.parametrize("command", [("insert",), TRAIN, SEARCH])
def test_what_the_table_names_is_not_taken_as_named_by_the_user(
    command: tuple[str, ...], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # It is in the project's module, but not defined there.
    (project / "nets_of_project.py").write_text("from torchvision.models import resnet18 as Net\n")
    (project / "pyproject.toml").write_text('[tool.bamctl]\nmodel = "nets_of_project:Net"\n')
    assert run(list(command)) == 2
    assert "and not in the project" in capsys.readouterr().err


def test_a_placement_and_a_resumed_folder_have_a_model_of_their_own(project: Path) -> None:
    Path("p.yaml").write_text("model: resnet18\nwhere: layer1\n")
    found = data("insert", "--placement", "p.yaml")
    assert (found["model"], found["modules"]) == ("resnet18", ["layer1"])
    Path("p.yaml").write_text("where: first\nbudget: {params: +900 %}\n")
    assert data("insert", "--placement", "p.yaml")["modules"] == ["first"]
    assert data("analyze", "--placement", "p.yaml")["params"] == PARAMS
    (found,) = data("check", "p.yaml")["checks"]
    assert (found["model"], found["base"]) == ("nets_of_project:Net", PARAMS)


def test_config_shows_each_default_and_what_overrides_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == str(project / "pyproject.toml")
    assert [line.split() for line in shown[2:]] == [
        ["default", "value", "overridden", "by"],
        ["model", "nets_of_project:Net", "MODEL"],
        ["args", '{"width":', "4}", "--arg"],
        ["input", "3x32x32", "--input"],
        ["num_classes", "20", "--num-classes"],
        ["where", '["block"]', "--where"],
    ]


def test_config_without_a_table_shows_how_to_write_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["config"]) == 0
    example = dedent(capsys.readouterr().out.partition("\n\n")[2])
    (tmp_path / "pyproject.toml").write_text(example)
    assert data("config")["model"] == "resnet50"


def test_images_alone_are_looked_at_through_the_network_of_the_table(project: Path) -> None:
    Image.new("RGB", (40, 30), "teal").save(project / "photo.png")
    found = data("attend", "photo.png", "--where", "first")
    assert found["model"] == "nets_of_project:Net"
    assert [(site["image"], site["module"]) for site in found["sites"]] == [("photo.png", "first")]
