"""What the README shows is what happens."""

import shlex
from pathlib import Path

import pytest
from PIL import Image

from bamctl import Placement
from bamctl.report.formats.html import read_pages
from tests import console, readme


@pytest.mark.parametrize("session", readme.sessions(), ids=lambda found: found["command"])
def test_console_sessions_show_real_output(session: object, tmp_path: Path) -> None:
    assert readme.run(session["command"], tmp_path) == session["output"]


@pytest.mark.parametrize("example", readme.code("python"), ids=["insert", "register"])
def test_the_python_examples_run(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(example, {})  # the README's own code
    promised = [line.split("  # ")[1] for line in example.splitlines() if line.startswith("print(")]
    assert capsys.readouterr().out.splitlines() == promised


def test_the_tour_runs_from_its_first_command_to_its_last(tmp_path: Path) -> None:
    (tour,) = readme.code("bash")
    Image.new("RGB", (300, 200)).save(tmp_path / "photo.jpg")
    for line in tour.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        found = console.run(arguments, cwd=tmp_path)
        assert (program, found.returncode) == ("bamctl", 0), found.stderr
    headings = [page.report.heading.split()[0] for page in read_pages(tmp_path / "all.html")]
    assert headings == ["resnet18", "resnet18"]


def test_the_placement_is_valid(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(readme.code("yaml")[0])
    first, second = Placement.load(tmp_path / "p.yaml").insertions["layer3"]
    assert (first.reduction, second.module) == (32, "timm:cbam")


def test_the_two_commands_come_first() -> None:
    commands = "".join(readme.code("sh")).splitlines()
    assert commands[0] == "pip install -e . && bamctl analyze resnet50"
    assert commands[1] == "pip install -e '.[test]' && pytest"
    assert commands[1] in (readme.REPOSITORY / ".ci" / "run").read_text()
