"""A kind that the program does not have works in every command by one entry in `KINDS`."""

import json
from pathlib import Path

import pytest
import yaml
from torch import nn

from bamctl.attention.kinds import KINDS
from bamctl.cli.app import run
from tests.attention.squeeze import SqueezeKind
from tests.networks import Tiny


@pytest.fixture(autouse=True)
def _one_kind_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "squeeze", SqueezeKind())


TINY = "tests.networks:Tiny"
COMMAND = (TINY, "--input", "3x32x32", "--module", "squeeze", "--ratio", "2")
EVERY_COMMAND = {
    "analyze": ("analyze", *COMMAND, "--no-cache"),
    "insert": ("insert", *COMMAND),
    "latency": ("latency", *COMMAND, "--device", "rtx4090"),
    "train": ("train", *COMMAND, "--data", "digits", "--steps", "2", "--seeds", "1"),
}


def test_help_shows_the_settings_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("analyze", "insert", "latency", "train", "attend", "check", "search"):
        assert run([command, "--help"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "--ratio" in shown, command
        assert "How much narrower the middle is" in shown, command
        assert "squeeze" in shown, command


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_commands_work_with_it(
    command: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(EVERY_COMMAND[command]) == 0, capsys.readouterr().err
    assert "squeeze: ratio=2, init=kaiming" in " ".join(capsys.readouterr().out.split())


def test_options_without_a_module_are_of_the_kind_of_the_placement(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text("attention: {module: squeeze}\nwhere: one\n")
    own = ("--placement", str(tmp_path / "p.yaml"))
    assert run(["insert", *COMMAND[:3], *own, "--ratio", "2"]) == 0
    assert "squeeze: ratio=2, init=kaiming" in " ".join(capsys.readouterr().out.split())
    assert run(["insert", *COMMAND[:3], *own, "--reduction", "2"]) == 2
    assert (
        "reduction is a setting of bam, se and timm:NAME; drop reduction" in capsys.readouterr().err
    )
    assert run(["insert", *COMMAND[:3], "--ratio", "2"]) == 2
    assert "ratio is a setting of squeeze; drop ratio" in capsys.readouterr().err


def test_a_check_says_why_and_what_would_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = {
        "model": TINY,
        "input": "3x32x32",
        "attention": {"module": "squeeze"},
        "where": ["one", "two"],
        # 1 + 2 x 8 x 2 + 2 + 8 = 43 and 1 + 2 x 16 x 4 + 4 + 16 = 149 are added.
        "budget": {"params": f"{parameters(Tiny()) + 100} params"},
    }
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(file))
    arguments = ["check", str(tmp_path / "p.yaml"), "--why", "--trust", TINY]
    assert run(arguments) == 1
    assert "drop two" in " ".join(capsys.readouterr().out.split())


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_search_prices_it(capsys: pytest.CaptureFixture[str]) -> None:
    model = (TINY, "--input", "3x32x32", "--data", "digits", "--dry-run")
    assert run(["search", *model, "--module", "squeeze", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # Three blocks, each with one or none, of two ratios; nothing at all is one network.
    assert found["candidates"] == 2 * (2**3 - 1) + 1
    assert found["cheapest"][1]["placement"].endswith(": squeeze ratio=4")


def test_the_schema_has_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert "ratio" in json.loads(capsys.readouterr().out)["$defs"]["SqueezeSettings"]["properties"]


def test_attend_says_that_it_has_no_maps(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    model, *others = COMMAND
    assert run(["attend", model, str(tmp_path / "a.png"), *others]) == 2
    assert "has no gate to show; insert a BAM" in capsys.readouterr().err
