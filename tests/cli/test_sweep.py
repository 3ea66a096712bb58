"""`bamctl analyze --all` through the real console script."""

import csv
import io
import json

import pytest

from bamctl.networks import torchvision_models
from tests.conftest import assert_one_line_error

SMALL = ("--input", "3x64x64", "--family", "segmentation")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_row_for_each_builder(bamctl: object, jobs: str) -> None:
    result = bamctl("analyze", "--all", *SMALL, "--format", "csv", "--jobs", jobs)
    assert (result.returncode, result.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    families = torchvision_models.families()
    assert [row["model"] for row in rows] == [n for n in families if families[n] == "segmentation"]
    alone = json.loads(
        bamctl("analyze", "fcn_resnet50", "--input", "3x64x64", "--format", "json").stdout
    )
    row = next(row for row in rows if row["model"] == "fcn_resnet50")
    for key in ("params", "macs", "elementwise_ops"):
        assert int(row[key]) == alone[key]
    # Those of the paper, in all of its formats.
    for name in ("bottleneck", "block"):
        placed = alone["placements"][name]
        assert int(row[f"{name}_sites"]) == len(placed["modules"])
        for key in ("params", "macs", "elementwise_ops", "memory_bytes"):
            assert int(row[f"{name}_added_{key}"]) == placed[f"added_{key}"]


def test_one_that_fails_does_not_stop_the_others(bamctl: object) -> None:
    """Networks for video take no image."""
    options = ("--family", "all", "--input", "3x4x32x32", "--format", "csv")
    result = bamctl("analyze", "--all", *options)
    assert result.returncode == 3
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 121
    failed = {row["model"] for row in rows if row["error"]}
    assert "resnet50" in failed
    assert "r3d_18" not in failed
    assert all(bool(row["params"]) is not bool(row["error"]) for row in rows)
    told = result.stderr.splitlines()
    assert len(told) == len(failed)
    assert any("resnet50: input '3x4x32x32' is not channels x height x width" in t for t in told)


def test_what_is_impossible_has_its_reason(bamctl: object) -> None:
    """And is no silent zero."""
    pytest.importorskip("timm")
    options = [*SMALL, "--module", "timm:cbam", "--module-arg", "nope=1"]
    rows = json.loads(bamctl("analyze", "--all", *options, "--format", "json").stdout)["models"]
    assert len(rows) == 6
    for row in rows:
        assert row["bottleneck_added_params"] is row["block_added_params"] is None
        assert "timm:cbam has no argument 'nope'" in row["bottleneck_reason"]
        assert "timm:cbam has no argument 'nope'" in row["block_reason"]
    shown = bamctl("analyze", "--all", *options).stdout
    assert "fcn_resnet50: backbone.layer1: timm:cbam has no argument 'nope'" in shown


@pytest.mark.parametrize("format_name", ["table", "json", "markdown"])
def test_other_formats_come_at_the_end(bamctl: object, format_name: str) -> None:
    result = bamctl("analyze", "--all", *SMALL, "--format", format_name)
    assert result.returncode == 0
    # Markdown takes an underscore for emphasis.
    shown = result.stdout.replace("\\", "")
    assert all(name in shown for name in ("fcn_resnet50", "lraspp_mobilenet_v3_large"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--all", "resnet18"], ["--all analyses every network", "resnet18"]),
        (["--family", "video", "resnet18"], ["--family requires --all"]),
        (["--jobs", "2", "resnet18"], ["--jobs requires --all"]),
        (["--all", "--explain"], ["--explain cannot be combined with --all"]),
        ([], ["no model", "--all"]),
    ],
)
def test_what_does_not_go_together(bamctl: object, arguments: list[str], words: list[str]) -> None:
    assert_one_line_error(bamctl("analyze", *arguments), *words)
