"""Networks of one's own by the name of what makes them."""

import sys
from pathlib import Path

import pytest

from bamctl.errors import InputError
from bamctl.networks import factories, models
from bamctl.networks.inputs import read

CODE = """
import torch
from torch import nn

def tiny(num_classes=10):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(num_classes))

class Nets:
    other = staticmethod(tiny)

def nothing():
    return "no network"

def broken():
    raise OSError("no\\nluck")

number = 3
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_nets.py").write_text(CODE)
    (tmp_path / "own_broken.py").write_text("import own_nets, no_such_library")
    (tmp_path / "own_wrong.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("own_nets", "own_broken", "own_wrong"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_factory_in_the_current_folder() -> None:
    model = models.build("own_nets:tiny", num_classes=7)
    assert model[2].out_features == 7
    assert models.build("own_nets:Nets.other")[2].out_features == 10
    assert models.default_inputs("own_nets:tiny") == read((3, 224, 224))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_nets:tinny", "no 'tinny' in own_nets .did you mean 'tiny'"),
        ("own_nest:tiny", "cannot be imported: No module named 'own_nest'; run where it is"),
        ("own_broken:tiny", "No module named 'no_such_library'"),
        ("own_wrong:tiny", "cannot be imported: ZeroDivisionError: division by zero"),
        ("own_nets:number", "is not a function or class, but a int"),
        ("own_nets:nothing", "returned a str, not an nn.Module"),
        ("own_nets:broken", r"own_nets:broken\(\) failed: OSError: no$"),
    ],
)
def test_what_makes_no_network_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        factories.build(name)


def test_options_of_torchvision_are_refused() -> None:
    with pytest.raises(InputError, match="--stem small is only for torchvision's models"):
        models.build("own_nets:tiny", stem="small")
    with pytest.raises(InputError, match=r"broken\(num_classes=3\) failed: TypeError"):
        models.build("own_nets:broken", num_classes=3)
