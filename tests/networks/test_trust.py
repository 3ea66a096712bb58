"""Which factories a file may name, and what is called: decided without importing anything."""

import sys
from pathlib import Path

import pytest

from bamctl.errors import InputError
from bamctl.networks import factories, models, trust

CODE = """
import functools, os, subprocess
from os import system
from subprocess import run
import torch
from torch import nn

class Net(nn.Module):
    @classmethod
    def small(cls):
        return cls()

class Plain:
    pass

class Callable:
    def __call__(self):
        return Net()

def make(depth=1):
    return Net()

made = functools.partial(make, depth=2)
cached = functools.lru_cache(make)
frozen = torch.no_grad()(make)
instance = Callable()
shell = functools.partial(os.system)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a module of its own, which is where we are; nothing is named yet."""
    root = tmp_path / "project"
    (root / "shop" / "vision").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "trusted_nets.py").write_text(CODE)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(trust, "_named", set())
    monkeypatch.delitem(sys.modules, "trusted_nets", raising=False)
    return root


def test_a_project_s_own_file_may_name_its_own_factory(project: Path) -> None:
    trust.check_file("trusted_nets:Net", project / "placements" / "a.yaml")


@pytest.mark.parametrize("marker", ["pyproject.toml", ".git"])
def test_the_project_is_around_the_current_folder(
    marker: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").rename(project / marker)
    monkeypatch.chdir(project / "shop")
    (project / "shop" / "below.py").touch()
    trust.check_file("below:Net", project / "a.yaml")
    (project / marker).unlink()
    with pytest.raises(InputError, match=r"outside of the project \S+/shop; .*--trust below:Net`"):
        trust.check_file("below:Net", project / "a.yaml")


def test_a_file_elsewhere_may_not_name_it_unless_a_person_did(project: Path) -> None:
    with pytest.raises(InputError, match=r"a\.yaml, which names it, is outside of the project"):
        trust.check_file("trusted_nets:Net", project.parent / "a.yaml")
    trust.trust("trusted_nets:Net")
    trust.check_file("trusted_nets:Net", project.parent / "a.yaml")


def test_a_link_is_where_it_leads(project: Path) -> None:
    (project.parent / "a.yaml").touch()
    (project / "a.yaml").symlink_to(project.parent / "a.yaml")
    with pytest.raises(InputError, match="outside of the project"):
        trust.check_file("trusted_nets:Net", project / "a.yaml")


def test_a_module_that_links_out_of_the_project_is_not_its_own(project: Path) -> None:
    (project.parent / "linked.py").touch()
    (project / "linked.py").symlink_to(project.parent / "linked.py")
    with pytest.raises(InputError, match="linked:make is code outside of the project"):
        trust.check_file("linked:make", project / "a.yaml")


@pytest.mark.parametrize("name", ["torch.hub:load", "torch:load", "safetensors.torch:load_file"])
def test_what_is_installed_is_of_no_project(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=f"only a file names it; .*--trust {name}`"):
        trust.check_file(name, project / "a.yaml")
    # As with .venv, libraries may be in a folder of the project.
    environment = Path(sys.prefix)
    monkeypatch.chdir(environment)
    with pytest.raises(InputError, match=f"only a file names it; .*--trust {name}`"):
        trust.check_file(name, environment / "a.yaml")


@pytest.mark.parametrize("name", ["os:system", "subprocess:run", "builtins:exec", "os.path:join"])
def test_the_standard_library_makes_no_network_whoever_names_it(name: str, project: Path) -> None:
    trust.trust(name)
    with pytest.raises(InputError, match="part of Python's standard library"):
        trust.check_file(name, project / "a.yaml")
    with pytest.raises(InputError, match="part of Python's standard library"):
        factories.build(name)


def test_nothing_is_imported_before_it_is_allowed(project: Path) -> None:
    outside = project.parent / "outside"
    for folder in (outside / "foreign", project / "shop", project / "shop" / "vision"):
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
        (folder / "nets.py").write_text("raise SystemExit('imported')")
    sys.path.append(str(outside))
    assert trust.files_of("shop.vision.nets") == [
        project / "shop" / "__init__.py",
        project / "shop" / "vision" / "__init__.py",
        project / "shop" / "vision" / "nets.py",
    ]
    with pytest.raises(InputError, match="only a file names it"):
        factories.build("foreign.nets:Net")
    assert not {"shop", "foreign"} & sys.modules.keys()


def test_packages_without_an_init(project: Path) -> None:
    (project / "shop" / "vision" / "nets.py").touch()
    assert trust.files_of("shop.vision.nets") == [project / "shop" / "vision" / "nets.py"]
    assert trust.files_of("shop.vision") == []
    assert trust.files_of("shop.vision.missing") is None
    assert trust.files_of("shop.vision.nets.deeper") is None


@pytest.mark.parametrize("factory", ["Net", "Net.small", "make", "made", "cached", "frozen"])
def test_what_a_project_defines_is_called(factory: str, project: Path) -> None:
    assert type(factories.build(f"trusted_nets:{factory}")).__name__ == "Net"


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("system", "neither an nn.Module subclass nor a Python function"),
        ("shell", "neither an nn.Module subclass nor a Python function"),
        ("run", "part of Python's standard library"),
        ("subprocess.run", "part of Python's standard library"),
        ("os.popen", "part of Python's standard library"),
        ("Plain", "neither an nn.Module subclass nor a Python function"),
        ("instance", "neither an nn.Module subclass nor a Python function"),
        ("torch.hub.load", "defined in torch.hub, and not in the project"),
        ("nn.Sequential", "defined in torch.nn.modules.container, and not in the project"),
    ],
)
def test_what_a_module_only_imports_is_not_called(factory: str, words: str, project: Path) -> None:
    with pytest.raises(InputError, match=words):
        factories.build(f"trusted_nets:{factory}")


def test_a_person_may_name_what_a_module_imports(project: Path) -> None:
    trust.trust("trusted_nets:nn.Sequential")
    assert type(factories.build("trusted_nets:nn.Sequential")).__name__ == "Sequential"


def test_a_module_here_does_not_stand_in_for_a_library(project: Path) -> None:
    (project / "torchvision.py").write_text("raise SystemExit('imported')")
    factories.build("trusted_nets:Net")
    assert "project" not in str(trust.files_of("torchvision"))


def test_commands_that_are_shown_have_the_flag_that_they_need(project: Path) -> None:
    own, foreign = project / "runs", project.parent / "runs"
    assert models.trust_flag("resnet18", foreign) == ""
    assert models.trust_flag("timm:resnet18", foreign) == ""
    assert models.trust_flag("trusted_nets:Net", own) == ""
    assert models.trust_flag("trusted_nets:Net", foreign) == " --trust trusted_nets:Net"
    assert models.trust_flag("torch.nn:Flatten", own) == " --trust torch.nn:Flatten"
