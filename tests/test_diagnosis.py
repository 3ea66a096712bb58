"""What is installed and found here, and `bamctl doctor`, which shows it."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml

from bamctl import diagnosis
from bamctl.cli.app import run
from bamctl.data.found import found
from tests.conftest import REPOSITORY


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert run(["doctor", "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_versions_and_devices(capsys: pytest.CaptureFixture[str]) -> None:
    data = shown(capsys)
    assert data["python"] == sys.version.split()[0]
    assert data["libraries"]["torch"] == metadata.version("torch")
    assert data["libraries"]["pyyaml"] == yaml.__version__
    assert len(data["devices"]) == 1 + torch.cuda.device_count() + torch.backends.mps.is_available()
    assert data["problems"] == []


def test_every_extra_says_what_it_adds() -> None:
    named = [line.split(" = ")[0] for line in optional_dependencies() if " = [" in line]
    assert sorted([*diagnosis.EXTRAS, "test"]) == sorted(named)


def optional_dependencies() -> list[str]:
    text = (REPOSITORY / "pyproject.toml").read_text()
    return text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0].splitlines()


def test_missing_and_old_libraries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = metadata.version
    wrong = {"timm": None, "rich": "9.1", "optuna": None}

    def version(name: str) -> str:
        if wrong.get(name, "") is None:
            raise metadata.PackageNotFoundError(name)
        return wrong.get(name) or real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Problem: optuna: missing; optuna>=5 is required." in lines
    assert "Problem: rich: 9.1; >=13.8 is required." in lines
    (timm,) = [line for line in lines if line.startswith("timm ")]
    assert timm.split("  ")[-1].strip() == "timm's networks and attention modules, as `timm:NAME`"
    assert "pip install 'bamctl[timm]'" in timm


def test_a_torch_that_cannot_be_imported_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    data = shown(capsys)
    assert data["devices"] == {}
    assert data["problems"][0].startswith("torch cannot be used: ")


def test_data_sets_are_found_by_the_names_that_torchvision_gives_them(tmp_path: Path) -> None:
    for name in ("cifar-10-batches-py", "cifar-100-python", "oxford-iiit-pet", "holiday"):
        (tmp_path / name).mkdir()
    sets = found(tmp_path)
    assert sets.pop("digits") == "scikit-learn"
    sets.pop("fashion-mnist", None)
    assert sets == {
        "cifar10": str(tmp_path / "cifar-10-batches-py"),
        "cifar100": str(tmp_path / "cifar-100-python"),
        "oxfordiiitpet": str(tmp_path / "oxford-iiit-pet"),
    }
