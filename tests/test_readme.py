"""What the README shows is what happens."""

from pathlib import Path

import pytest

from bamctl import Placement
from tests import readme


@pytest.mark.parametrize("session", readme.sessions(), ids=lambda found: found["command"])
def test_console_sessions_show_real_output(session: object, tmp_path: Path) -> None:
    assert readme.run(session["command"], tmp_path) == session["output"]


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = readme.code("python")
    exec(example, {})  # the README's own code
    promised = [line.split("  # ")[1] for line in example.splitlines() if line.startswith("print(")]
    assert capsys.readouterr().out.splitlines() == promised


def test_the_placement_is_valid(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(readme.code("yaml")[0])
    assert Placement.load(tmp_path / "p.yaml").insertions["layer3"].reduction == 32


def test_the_two_commands_come_first() -> None:
    commands = "".join(readme.code("sh")).splitlines()
    assert commands[0] == "pip install -e . && bamctl analyze resnet50"
    assert commands[1] == "pip install -e '.[test]' && pytest"
    assert commands[1] in (readme.REPOSITORY / ".ci" / "run").read_text()
