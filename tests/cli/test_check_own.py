"""`bamctl check` with networks, files and folders of other people's making."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

from tests.conftest import assert_one_line_error

FORMAT = {"format": "pt"}
NETS = """
import sys, threading
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, channels=3, stride=2):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 3, stride, 1)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1)

    def forward(self, x):
        return self.conv2(self.conv1(x).relu())

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        print("building")
        self.a, self.b = Block(), Block(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.b(self.a(x)).mean((2, 3)))

class Exits(Net):
    def __init__(self):
        sys.exit(0)

class ExitsLater(Net):
    def forward(self, x):
        sys.exit(0)

class Forgets(Net):
    def forward(self, x):
        return {}["nothing"]

class Locked(Net):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

class Reads(Net):
    def forward(self, x):
        scale = torch.arange(3).sum().item()
        return super().forward(x) * scale

class Free(nn.Module):
    def forward(self, x):
        return nn.functional.avg_pool2d(x, 2)
"""


@pytest.fixture(autouse=True)
def _own_networks(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)


def write(path: Path, model: str = "nets:Net", **more: object) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    data = {"schema": 1, "model": model, "input": "3x32x32", "where": "a", **more}
    path.write_text(yaml.safe_dump(data))


OVER = {"budget": {"params": "+0 %"}}
FINE = {"budget": {"params": "+90 %"}}


@pytest.mark.parametrize(
    ("network", "budget", "code", "words"),
    [
        ("Exits", "params", 2, "nets:Exits() failed: SystemExit"),
        ("ExitsLater", "params", 2, "cannot run on a 3x32x32 input"),
        ("Forgets", "params", 2, "cannot run on a 3x32x32 input: KeyError: 'nothing'"),
        ("Locked", "weights_file", 3, "weights_file could not be measured: TypeError"),
        ("Missing", "params", 2, "no 'Missing' in nets"),
    ],
)
def test_somebody_else_s_error_is_of_one_file(
    network: str, budget: str, code: int, words: str, bamctl: object, tmp_path: Path
) -> None:
    write(tmp_path / "placements" / "over.yaml", **OVER)
    write(tmp_path / "placements" / "own.yaml", f"nets:{network}", budget={budget: "+90 %"})
    result = bamctl("check")
    assert result.returncode == code
    assert words in result.stdout + result.stderr
    assert "placements/own.yaml:" in result.stdout + result.stderr
    assert "failed: placements/over.yaml:" in result.stdout
    assert "a bug" not in result.stderr


def test_memory_of_a_network_that_reads_its_numbers(bamctl: object, tmp_path: Path) -> None:
    write(tmp_path / "placements" / "a.yaml", "nets:Reads", budget={"memory": "+900 %"})
    write(tmp_path / "placements" / "b.yaml", "nets:Net", budget={"memory": "+900 %"})
    found = json.loads(bamctl("check", "--format", "json").stdout)["checks"]
    reads, plain = (each["base"] for each in found)
    # The scaled result is one more tensor of three numbers.
    assert plain <= reads <= plain + 64


def test_what_a_network_prints_is_no_part_of_the_result(bamctl: object, tmp_path: Path) -> None:
    write(tmp_path / "placements" / "a.yaml", **FINE)
    result = bamctl("check", "--format", "json")
    assert json.loads(result.stdout)["passed"]
    assert result.stderr == "building\n"


def test_every_placement_is_found(bamctl: object, tmp_path: Path) -> None:
    write(tmp_path / "placements" / "UPPER.YAML", **FINE)
    write(tmp_path / "placements" / "deep" / "b.yml", **FINE)
    write(tmp_path / "elsewhere" / "c.yaml", **FINE)
    (tmp_path / "placements" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "placements" / "loop").symlink_to(tmp_path / "placements")
    found = json.loads(bamctl("check", "--format", "json").stdout)["checks"]
    names = [each["file"] for each in found]
    assert names == [f"placements/{name}" for name in ("UPPER.YAML", "deep/b.yml", "link/c.yaml")]


def test_a_pipe_is_no_placement(bamctl: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert_one_line_error(bamctl("check", "pipe.yaml"), "pipe.yaml", "is not a regular file")


def test_names_that_break_out_of_nothing(bamctl: object, tmp_path: Path) -> None:
    name = "a\n::error::b\n---\n<b>&amp;~~c.yaml"
    (tmp_path / "placements").mkdir()
    (tmp_path / "placements" / name.replace("/", "")).write_text("budget: 1")
    (tmp_path / "placements" / os.fsdecode(b"\xff.yaml")).write_text("budget: 2")
    page = tmp_path / "page.md"
    there = os.environ | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}
    for format_name in ("table", "markdown", "junit", "github", "json"):
        result = bamctl("check", "--format", format_name, env=there)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 2
        assert "\n::error::b" not in result.stdout + result.stderr
    assert "\n---\n" not in page.read_text()


def test_a_summary_that_cannot_be_written_changes_no_verdict(
    bamctl: object, tmp_path: Path
) -> None:
    write(tmp_path / "placements" / "a.yaml", **OVER)
    there = os.environ | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path)}
    result = bamctl("check", env=there)
    assert result.returncode == 1
    assert "warning: cannot write the summary" in result.stderr


def test_the_weights_file_is_that_of_insert_without_the_placement(
    bamctl: object, tmp_path: Path
) -> None:
    overrides = {"insertions": {"a": {"reduction": 4}}, "where": ["a", "b"]}
    write(tmp_path / "p.yaml", budget={"weights_file": "1 MB"}, **overrides)
    bamctl("insert", "--placement", "p.yaml", "--out", "w.safetensors")
    save_file(load_file(tmp_path / "w.safetensors"), tmp_path / "bare.safetensors", FORMAT)
    size = (tmp_path / "bare.safetensors").stat().st_size
    for limit, code in ((size, 0), (size - 1, 1)):
        write(tmp_path / "p.yaml", budget={"weights_file": f"{limit} B"}, **overrides)
        assert bamctl("check", "p.yaml").returncode == code


def test_a_baseline_is_of_figures_and_not_of_limits_or_paths(
    bamctl: object, tmp_path: Path
) -> None:
    path = tmp_path / "placements" / "a.yaml"
    write(path, **FINE)
    bamctl("check", "--save-baseline", "b.json")
    write(path, budget={"params": "+80 %", "macs": "+80 %", "memory": "+900 %"})
    assert bamctl("check", "--baseline", "b.json").returncode == 0
    assert bamctl("check", str(path), "--baseline", "b.json").returncode == 0
    options = ["nets:Net", "--where", "a", "--max-params", "+90 %", "--input"]
    bamctl("check", *options, "3x32x32", "--save-baseline", "m.json")
    assert bamctl("check", *options, "3x32x32", "--baseline", "m.json").returncode == 0
    assert bamctl("check", *options, "3x64x64", "--baseline", "m.json").returncode == 3


def test_advice_by_memory_and_against_a_baseline(bamctl: object, tmp_path: Path) -> None:
    options = ["check", "resnet18", "--input", "3x64x64", "--max-memory", "+3 %", "--why"]
    # By hand: of the three sites only the deepest keeps less than 3 % of the network's 1.77 MB.
    assert "drop layer1, layer2 (" in " ".join(bamctl(*options).stdout.split())
    path = tmp_path / "placements" / "a.yaml"
    write(path, **FINE)
    bamctl("check", "--save-baseline", "b.json")
    write(path, where=["a", "b"], **FINE)
    said = bamctl("check", "--baseline", "b.json", "--why").stdout
    assert re.search(r"limits: drop b \(", " ".join(said.split()))


def test_the_smallest_sufficient_change_is_the_one_that_was_accepted(
    bamctl: object, tmp_path: Path
) -> None:
    """A figure does not depend on how a placement is spelt: r=4 is written out."""
    path = tmp_path / "placements" / "a.yaml"
    write(path, where=["a", "b"], attention={"reduction": 4}, **FINE)
    bamctl("check", "--save-baseline", "b.json")
    write(path, where=["a", "b"], attention={"reduction": 1}, **FINE)
    said = " ".join(bamctl("check", "--baseline", "b.json", "--why").stdout.split())
    assert "limits: raise r at every site to 4 (" in said
    spelt = {name: {"reduction": 4, "init": "kaiming"} for name in ("a", "b")}
    spelt["b"]["combine"] = "sum"
    write(path, where=None, insertions=spelt, attention={"variant": "paper"}, stages="all", **FINE)
    assert bamctl("check", "--baseline", "b.json").returncode == 0


def test_a_renamed_file_is_guessed_and_never_a_pass(bamctl: object, tmp_path: Path) -> None:
    folder = tmp_path / "placements"
    write(folder / "one.yaml", where="a", **FINE)
    write(folder / "both.yaml", where=["a", "b"], **FINE)
    bamctl("check", "--save-baseline", "b.json")
    (folder / "both.yaml").rename(folder / "new.yaml")
    (folder / "one.yaml").rename(folder / "renamed.yaml")
    result = bamctl("check", "--baseline", "b.json", "--format", "json")
    assert result.returncode == 3
    notes = {each["file"]: each["note"] for each in json.loads(result.stdout)["checks"]}
    assert "if it was placements/both.yaml before" in notes["placements/new.yaml"]
    assert "if it was placements/one.yaml before" in notes["placements/renamed.yaml"]
    # A file that is still there was not renamed, and neither was one for another network.
    write(folder / "one.yaml", where="a", **FINE)
    write(folder / "both.yaml", where=["a", "b"], **FINE)
    found = json.loads(bamctl("check", "--baseline", "b.json", "--format", "json").stdout)
    notes = {each["file"]: each["note"] for each in found["checks"]}
    assert notes["placements/new.yaml"].startswith("not in the baseline; accept it")


def test_nothing_inserted_is_said(bamctl: object) -> None:
    options = ["--where", "bottleneck", "--input", "3x64x64", "--max-params", "+1 %"]
    assert "vit_b_32 has no site" in bamctl("check", "vit_b_32", *options).stdout


def test_the_first_wrong_name_is_the_same_in_every_run(bamctl: object, tmp_path: Path) -> None:
    insertions = {name: {"reduction": 2} for name in ("b", "a.conv1", "a.conv2")}
    write(tmp_path / "p.yaml", insertions=insertions, **FINE)
    seeds = [os.environ | {"PYTHONHASHSEED": str(seed)} for seed in range(3)]
    said = {bamctl("check", "p.yaml", env=seed).stderr for seed in seeds}
    assert len(said) == 1
    assert "p.yaml:" in said.pop()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tolerance", "+1 %"], "--tolerance requires --save-baseline"),
        (["--baseline", "a", "--save-baseline", "b"], "are mutually exclusive"),
        (["--init", "nets:Net", "--max-params", "+1 %"], "drop limits and baselines"),
        (["placments"], "no file or folder 'placments', and unknown model"),
    ],
)
def test_options_are_never_ignored(arguments: list[str], words: str, bamctl: object) -> None:
    assert_one_line_error(bamctl("check", *arguments), words)


def test_init_for_a_network_of_ones_own(bamctl: object, tmp_path: Path) -> None:
    result = bamctl("check", "--init", "nets:Net", "--input", "3x32x32", "--where", "a")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "placements" / "nets.Net.yaml").exists()
    assert bamctl("check").returncode == 0
    found = json.loads(bamctl("analyze", "nets:Net", "--format", "json").stdout)
    assert [point["module"] for point in found["points"] if point["kind"] == "bottleneck"] == ["a"]
