"""`bamctl analyze` through the real console script."""

import csv
import io
import json
import os
from pathlib import Path

from bamctl import units
from tests.conftest import REPOSITORY, assert_one_line_error


def test_the_first_screen(bamctl: object) -> None:
    result = bamctl("analyze", "resnet50", "--explain")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "resnet50   3x224x224   25.56 M parameters   4.09 GMACs"
    rows = [line.split() for line in lines]
    assert ["1", "112", "64", "2", "0", "relu", "stem"] in rows
    stage = "2 56 256 4 3 layer1 bottleneck 17,747 params 27.35 MMACs".split()
    assert stage in rows
    strategy = next(row for row in rows if row[:2] == ["bottleneck", "3"])
    assert strategy[2:8] == ["+360,761", "+1.41", "%", "+82.15", "M", "+2.01"]
    assert "stage 5: no bottleneck, since no stage of lower resolution follows" in lines
    assert max(map(len, lines)) <= 100


def test_json_contract(bamctl: object) -> None:
    found = json.loads(bamctl("analyze", "resnet50", "--format", "json").stdout)
    assert found["schema"] == 2
    assert found["model"] == "resnet50"
    assert found["input_shape"] == [1, 3, 224, 224]
    assert found["params"] == 25_557_032
    assert found["macs"] == 4_089_184_256
    assert found["elementwise_ops"] > 0
    assert found["uncounted_operators"] == {}
    points = {point["module"]: point for point in found["points"]}
    layer1 = points["layer1"]
    assert layer1["kind"] == "bottleneck"
    assert [layer1[key] for key in ("num_channels", "height", "width", "reduction")] == [
        256,
        56,
        56,
        4,
    ]
    assert layer1["added_params"] == 17_747
    assert layer1["added_macs"] == 8_192 + 3_136 * (4_096 + 4_608 + 16)
    assert points["conv1"]["kind"] == "stem"
    assert points["layer1.0"]["kind"] == "block"
    placed = found["placements"]["bottleneck"]
    assert placed["modules"] == ["layer1", "layer2", "layer3"]
    assert placed["added_params"] == 360_761
    assert placed["params_overhead"] == 360_761 / 25_557_032
    assert set(found["placements"]) == {"bottleneck", "block", "branch", "level"}


def test_csv_has_a_row_for_each_point(bamctl: object, tmp_path: Path) -> None:
    result = bamctl("analyze", "squeezenet1_1", "--format", "csv", "--output", "points.csv")
    assert (result.returncode, result.stdout) == (0, "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "points.csv").read_text())))
    bottlenecks = [row for row in rows if row["kind"] == "bottleneck"]
    assert [(row["module"], row["height"]) for row in bottlenecks] == [
        ("features.4", "55"),
        ("features.7", "27"),
    ]


def test_markdown(bamctl: object) -> None:
    text = bamctl("analyze", "resnet18", "--format", "markdown").stdout
    assert text.startswith("### resnet18")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows[:7]}) == 1


def test_attention_options_change_the_cost(bamctl: object) -> None:
    options = ["--variant", "official", "--reduction", "8", "--branches", "channel"]
    options += ["--init", "identity", "--format", "json"]
    found = json.loads(bamctl("analyze", "resnet18", *options).stdout)
    assert found["attention"] == {
        "module": "bam",
        "variant": "official",
        "reduction": 8,
        "dilation": 4,
        "dilated_convs": 2,
        "branches": "channel",
        "combine": "product",
        "init": "identity",
    }
    point = next(point for point in found["points"] if point["module"] == "layer1")
    # Two linear layers of 64 and 8, the batch norm of the hidden layer, and the scalar.
    assert point["added_params"] == (64 * 8 + 8) + (8 * 64 + 64) + 2 * 8 + 1


def test_network_options(bamctl: object) -> None:
    options = ["--input", "3x32x48", "--num-classes", "100", "--stem", "small", "--stages", "all"]
    found = json.loads(bamctl("analyze", "resnet50", *options, "--format", "json").stdout)
    assert found["input_shape"] == [1, 3, 32, 48]
    assert found["params"] == 25_557_032 - 900 * 2049 - 40 * 192
    layer1 = next(point for point in found["points"] if point["module"] == "layer1")
    assert (layer1["height"], layer1["width"]) == (32, 48)


def test_a_vision_transformer_is_told_what_to_do_instead(bamctl: object) -> None:
    text = " ".join(bamctl("analyze", "vit_b_32").stdout.split())
    assert "vit_b_32 has no bottleneck" in text
    assert "Use --where block (12 sites)" in text
    assert "class token passes unchanged" in text


def test_an_extra_block_that_cannot_be(bamctl: object) -> None:
    result = bamctl("analyze", "densenet121", "--module", "extra-block", "--format", "json")
    found = json.loads(result.stdout)
    assert found["placements"]["bottleneck"]["added_params"] is None
    assert "no block can be repeated" in found["placements"]["bottleneck"]["reason"]


def test_numbers_read_well() -> None:
    assert units.count(999_999) == "1.00 M"
    assert units.macs(999_400) == "999,400 MACs"
    assert units.percent(-0.005) == "-0.50 %"


def test_sensitivity_takes_a_placement_apart(bamctl: object) -> None:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    quick = ["--steps", "2", "--seeds", "2", "--format", "json"]
    found = bamctl("analyze", "tests.networks:Tiny", "--sensitivity", *quick, env=env)
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert [site["module"] for site in data["sites"]] == ["one", "two"]
    # With two sites, all but one is the other alone.
    assert data["accuracy"]["only one"] == data["accuracy"]["without two"]
    for site in data["sites"]:
        assert site["alone"]["verdict"] in ("helps", "hurts", "inconclusive")
    assert_one_line_error(bamctl("analyze", "resnet18", "--seeds", "2"), "--sensitivity")
    both = bamctl("analyze", "resnet18", "--sensitivity", "--explain")
    assert_one_line_error(both, "--explain cannot be combined with --sensitivity")
