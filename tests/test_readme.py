"""What the README and the chapters show is what happens."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from bamctl import Placement
from bamctl.report.formats.html import read_pages
from tests import console, readme

EXAMPLES = ["insert", "analyze", "register", "loop", "lightning", "ultralytics"]
_LINK = re.compile(r"\]\(([^):#]+)\)")


@pytest.mark.parametrize("session", readme.sessions(), ids=lambda found: found["command"])
def test_console_sessions_show_real_output(session: object, tmp_path: Path) -> None:
    assert readme.run(session["command"], tmp_path) == session["output"]


@pytest.mark.parametrize("example", readme.code("python"), ids=EXAMPLES)
def test_the_python_examples_run(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(example, {})  # the page's own code
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


def test_the_placements_are_valid(tmp_path: Path) -> None:
    placements = readme.code("yaml", readme.README, readme.CHAPTERS / "placements.md")
    for number, text in enumerate(placements):
        (tmp_path / f"{number}.yaml").write_text(text)
    first, second = (Placement.load(tmp_path / f"{number}.yaml") for number in range(2))
    assert list(first.budget.allowances()) == ["params", "macs", "latency"]
    one, other = second.insertions["layer3"]
    assert (one.reduction, other.module) == (32, "timm:cbam")


def test_the_two_commands_come_first() -> None:
    commands = "".join(readme.code("sh", readme.README)).splitlines()
    assert commands[0] == "pip install -e . && bamctl analyze resnet50"
    assert commands[1] == "pip install -e '.[test]' && pytest"
    assert commands[1] in (readme.REPOSITORY / ".ci" / "run").read_text()


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(readme.README.read_text().splitlines()) <= 300
    for page in readme.PAGES:
        for link in _LINK.findall(page.read_text()):
            assert (page.parent / link).is_file(), f"{page.name}: {link}"
