"""The wheel: what is in it works away from the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PROGRAM = """
import sys, bamctl
from bamctl.cli.app import run
assert bamctl.__file__.startswith(sys.argv[1]), bamctl.__file__
for placement in ("bottleneck", "paper/reduction-8"):
    print(run([*sys.argv[2:], "--placement", placement]))
"""


def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the built wheel, unpacked by pip, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("package")
    # The wheel is made from the source distribution, so that both are complete.
    python("-m", "build", "--no-isolation", "--outdir", str(folder), str(REPOSITORY))
    (wheel,) = folder.glob("*.whl")
    target = folder / "target"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(target)]
    python("-m", "pip", "install", *options, str(wheel))
    return target


def test_a_shipped_placement_resolves_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    command = ["insert", "resnet18", "--input", "3x64x64", "--format", "json"]
    result = python(
        *("-c", PROGRAM, str(installed), *command),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )
    shown = result.stdout.split("}\n0\n")
    assert len(shown) == 3
    modules = '"modules": [\n    "layer1",\n    "layer2",\n    "layer3"\n  ]'
    assert [modules in each for each in shown] == [True, True, False]


def test_types_and_licence_are_in_the_wheel(installed: Path) -> None:
    assert (installed / "bamctl" / "py.typed").is_file()
    assert list(installed.glob("bamctl-*.dist-info/licenses/LICENSE"))
    shipped = REPOSITORY / "placements"
    names = {path.relative_to(shipped) for path in shipped.rglob("*.yaml")}
    inside = installed / "bamctl" / "placements"
    assert {path.relative_to(inside) for path in inside.rglob("*.yaml")} == names


def test_chapters_are_in_the_wheel(installed: Path) -> None:
    written = {path.name for path in (REPOSITORY / "bamctl" / "help").iterdir()}
    assert written == {path.name for path in (installed / "bamctl" / "help").iterdir()}
