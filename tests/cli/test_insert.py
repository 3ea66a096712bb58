"""`bamctl insert` through the real console script."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
import torchvision
import yaml
from safetensors.torch import load_file

from bamctl import insert
from tests.conftest import assert_one_line_error

SMALL = ["--input", "3x64x64", "--num-classes", "10"]


def network() -> torch.nn.Module:
    return torchvision.models.resnet18(num_classes=10).eval()


def test_before_and_after(script: object) -> None:
    result = script("insert", "resnet50", "--where", "bottleneck")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines()]
    # Kept, in floats: the refined map of 1024 x 196, three hidden maps of 64 x 196, a vector of
    # 1024, and one of 64: 239,424 of four bytes.
    assert "layer3 1024x14x14 NCHW +273,731 +27.44 M +1.04 M +957.70 kB".split() in rows
    assert "parameters 25.56 M 25.92 M +360,761 +1.41 %".split() in rows
    assert "backward reaches all 360,761 inserted parameters" in " ".join(result.stdout.split())


def test_json_contract(bamctl: object) -> None:
    options = ["--where", "layer1", "--where", "layer2", *SMALL, "--format", "json"]
    found = json.loads(bamctl("insert", "resnet18", *options).stdout)
    assert found["schema"] == 2
    assert found["modules"] == ["layer1", "layer2"]
    assert found["params"] == sum(p.numel() for p in network().parameters())
    assert found["added_params"] == sum(site["added_params"] for site in found["sites"])
    assert found["added_macs"] == sum(site["added_macs"] for site in found["sites"])
    assert [site["module"] for site in found["sites"]] == ["layer1", "layer2"]
    assert found["output_change"] > 0


def test_one_command_gives_one_result(bamctl: object, tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        assert bamctl("insert", "resnet18", *SMALL, "--out", name).returncode == 0
    a, b = (load_file(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_placement_comes_back(bamctl: object, tmp_path: Path) -> None:
    options = ["--where", "block", "--reduction", "8", *SMALL, "--out", "p.yaml"]
    first = bamctl("insert", "resnet18", *options, "--format", "json")
    written = yaml.safe_load((tmp_path / "p.yaml").read_text())
    assert written["model"] == "resnet18"
    assert written["input"] == "3x64x64"
    assert len(written["where"]) == 8
    again = bamctl("insert", "--placement", "p.yaml", "--format", "json")
    assert json.loads(again.stdout) == json.loads(first.stdout)


def test_weights_come_back_in_python(bamctl: object, tmp_path: Path) -> None:
    model = network()
    torch.save(model.state_dict(), tmp_path / "backbone.pth")
    options = ["--weights", "backbone.pth", "--init", "identity", "--out", "w.safetensors"]
    result = bamctl("insert", "resnet18", *SMALL, *options)
    assert (result.returncode, result.stderr) == (0, "")
    assert "unchanged, bit for bit" in result.stdout
    rebuilt = insert(network(), tmp_path / "w.safetensors", input_shape=(3, 64, 64)).eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(rebuilt(x), model(x))
    # The same file at the command line needs no more than its name.
    again = bamctl("insert", "--weights", "w.safetensors", "--format", "json")
    assert json.loads(again.stdout)["modules"] == ["layer1", "layer2", "layer3"]


def test_changed_outputs_of_loaded_weights_are_said(bamctl: object, tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "backbone.pth")
    result = bamctl("insert", "resnet18", *SMALL, "--weights", "backbone.pth")
    assert result.returncode == 0
    assert "--init identity keeps them" in result.stderr


def test_nothing_to_insert_is_said(bamctl: object) -> None:
    result = bamctl("insert", "vit_b_32", "--input", "3x64x64")
    assert result.returncode == 0
    assert "Nothing inserted. vit_b_32 has no bottleneck" in result.stdout
    found = json.loads(bamctl("insert", "vgg11", "--where", "block", "--format", "json").stdout)
    assert found["modules"] == []


def test_tokens(bamctl: object) -> None:
    options = ["--input", "3x64x64", "--where", "block", "--format", "json"]
    found = json.loads(bamctl("insert", "vit_b_32", *options).stdout)
    assert len(found["sites"]) == 12
    assert {site["layout"] for site in found["sites"]} == {"tokens"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no model", "bamctl insert resnet50"]),
        (["resnet18", "--where", "layer9"], ["no module 'layer9'", "did you mean 'layer"]),
        (["resnet18", "--where", "fc"], ["'fc' does not return one feature map"]),
        (["resnet18", "--where", "layer1.0.relu"], ["'layer1.0.relu' is called 2 times"]),
        (["resnet18", "--placement", "bottelneck"], ["did you mean 'bottleneck'"]),
        (["resnet18", "--out", "x.pkl"], ["end its name in one of .yaml"]),
        (["resnet18", "--out", "none/x.yaml"], ["there is no folder"]),
        (["resnet18", "--out", "/proc/x.yaml"], ["cannot write /proc/x.yaml"]),
        (["resnet18", "--weights", "none.pth"], ["none.pth: cannot be read"]),
        (["resnet18", "--weights", "V1"], ["no file 'V1'", "IMAGENET1K_V1"]),
        (["densenet121", "--module", "extra-block"], ["no block can be repeated"]),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], words: list[str], bamctl: object
) -> None:
    assert_one_line_error(bamctl("insert", *arguments, *SMALL[:2]), *words)


class Exploit:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploited",)


def test_bad_files_are_one_line_and_exit_2(bamctl: object, tmp_path: Path) -> None:
    (tmp_path / "typo.yaml").write_text("schema: 1\nattention:\n  redction: 4\n")
    result = bamctl("insert", "resnet18", "--placement", "typo.yaml")
    assert_one_line_error(result, "typo.yaml:3", "did you mean 'reduction'")
    (tmp_path / "corrupt.safetensors").write_bytes(b"\x10" * 100)
    result = bamctl("insert", "resnet18", "--weights", "corrupt.safetensors")
    assert_one_line_error(result, "corrupt.safetensors", "damaged")
    torch.save(torchvision.models.alexnet(num_classes=2).state_dict(), tmp_path / "foreign.pth")
    result = bamctl("insert", "resnet18", "--weights", "foreign.pth")
    assert_one_line_error(result, "do not fit the network", "missing: ", "unknown: ")
    with open(tmp_path / "evil.pth", "wb") as file:
        pickle.dump(Exploit(), file)
    assert_one_line_error(bamctl("insert", "resnet18", "--weights", "evil.pth"), "evil.pth: not")
    assert not (tmp_path / "exploited").exists()
