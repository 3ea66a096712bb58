"""`bamctl latency` and `bamctl analyze --latency` through the real console script."""

import csv
import io
import json
from pathlib import Path

import pytest

from bamctl.timing.profiles import find
from tests.conftest import assert_one_line_error

MEASURED = ("latency", "resnet18", "--input", "3x64x64", "--device", "cpu", "--threads", "1")


def test_measured_json(bamctl: object) -> None:
    result = bamctl(
        *MEASURED, "--min-seconds", "0.2", "--batch-size", "2", "--batch-size", "1",
        "--per-site", "--train", "--memory-format", "channels_last", "--format", "json",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["schema"], found["model"], found["estimated"]) == (2, "resnet18", False)
    assert found["modules"] == ["layer1", "layer2", "layer3"]
    assert (found["device"], found["threads"]) == ("cpu", 1)
    assert found["device_name"]
    assert found["versions"]["torch"]
    assert found["setup"]["train"] is True
    assert found["setup"]["memory_format"] == "channels_last"
    assert [each["batch_size"] for each in found["batches"]] == [1, 2]
    first = found["batches"][0]
    assert [found[key] for key in ("batch_size", "base_ms", "modified_ms", "ratio")] == [
        first[key] for key in ("batch_size", "base_ms", "modified_ms", "ratio")
    ]
    low, high = found["ratio_ci95"]
    assert low <= found["ratio"] <= high
    assert first["base_q25_ms"] <= first["base_median_ms"] <= first["base_q75_ms"]
    assert first["base_p90_ms"] <= first["base_p99_ms"]
    assert first["modified_peak_memory_bytes"] > first["base_peak_memory_bytes"] > 40_000_000
    assert [site["module"] for site in first["sites"]] == found["modules"]
    assert sum(site["share"] for site in first["sites"]) == pytest.approx(1)


def test_measured_words(bamctl: object) -> None:
    text = bamctl(*MEASURED, "--min-seconds", "0.2", "--where", "layer2", "--fuse").stdout
    assert text.startswith("resnet18   3x64x64   measured on ")
    assert "Inserted after: layer2." in text
    assert "fp32, contiguous, 1 threads, fuse; cpu: " in text
    assert "95 % interval" in text


def test_what_fits_is_kept_when_a_batch_does_not(bamctl: object) -> None:
    result = bamctl(
        *MEASURED, "--min-seconds", "0.1", "--batch-size", "1000000", "--batch-size", "1",
        "--format", "json",
    )  # fmt: skip
    assert result.returncode == 3
    assert [each["batch_size"] for each in json.loads(result.stdout)["batches"]] == [1]
    assert "a batch of 1000000 does not fit in the memory of cpu" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_estimated_json(bamctl: object) -> None:
    result = bamctl(
        "latency", "resnet50", "--device", "rtx3090", "--batch-size", "1", "--batch-size", "64",
        "--format", "json",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["estimated"], found["device"], found["ratio_ci95"]) == (True, "rtx3090", None)
    assert found["profile"] == find("rtx3090").model_dump(mode="json", by_alias=True)
    small, large = found["batches"]
    assert small["ratio"] == pytest.approx(small["modified_ms"] / small["base_ms"], rel=1e-12)
    assert large["base_ms"] > small["base_ms"]
    assert small["launch_fraction"] > large["launch_fraction"]
    assert [site["module"] for site in large["sites"]] == ["layer1", "layer2", "layer3"]


def test_an_estimate_is_labelled_with_its_error(bamctl: object) -> None:
    text = bamctl("latency", "resnet18", "--device", "rtx4090").stdout
    assert text.startswith("resnet18   3x224x224   estimated for rtx4090")
    held_out = find("rtx4090").held_out
    assert "Estimated, not measured: rtx4090, amp_fp16, channels_last" in text
    assert f"{100 * held_out.mean_error:.2f} % on average" in " ".join(text.split())


def test_csv_holds_parts_as_json(bamctl: object) -> None:
    text = bamctl("latency", "resnet18", "--device", "rtx4090", "--format", "csv").stdout
    (row,) = csv.DictReader(io.StringIO(text))
    assert [site["module"] for site in json.loads(row["sites"])] == ["layer1", "layer2", "layer3"]


def test_devices_beside_each_other(bamctl: object) -> None:
    result = bamctl(
        "latency", "resnet18", "--compare", "bam", "--compare", "se", "--device", "a100",
        "--device", "l4", "--format", "json",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    rows = json.loads(result.stdout)["rows"]
    assert [(row["device"], row["placement"]) for row in rows] == [
        ("a100", "bam"), ("a100", "se"), ("l4", "bam"), ("l4", "se"),
    ]  # fmt: skip


def test_a_precision_picks_the_profile(bamctl: object) -> None:
    result = bamctl(
        "latency", "resnet18", "--device", "a100", "--dtype", "fp32", "--memory-format",
        "channels_last", "--format", "json",
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    profile = found["profile"]
    assert (profile["precision"], profile["memory_format"]) == ("fp32", "channels_last")
    low, high = found["batches"][0]["base_ms_90"]
    assert low < found["base_ms"] < high


def test_nothing_to_insert_is_said(bamctl: object) -> None:
    text = bamctl("latency", "vit_b_16", "--device", "rtx4090").stdout
    assert "Nothing inserted. vit_b_16 has no bottleneck" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "rtx309"], "did you mean 'rtx3090'"),
        (["--device", "none.yaml"], "No such file"),
        (["--device", "rtx3090", "--train"], "--train applies to measurements only"),
        (
            ["--device", "rtx3090", "--min-seconds", "3"],
            "--min-seconds applies to measurements only",
        ),
        (["--cuda-graph", "--device", "cpu"], "a CUDA graph requires a CUDA device"),
        (["--fuse", "--train", "--device", "cpu"], "drop fuse or train"),
        (["--batch-size", "0"], "--batch-size"),
        (["--device", "t4", "--dtype", "bf16"], "t4 has no matrix units for bf16"),
        (["--compare", "se", "--per-site"], "--per-site cannot be combined with --compare"),
        (["--dtype", "int8"], "--dtype"),
        (["--where", "layer9", "--device", "cpu"], "layer9"),
    ],
)
def test_bad_input(bamctl: object, arguments: list[str], words: str) -> None:
    assert_one_line_error(bamctl("latency", "resnet18", *arguments), words)


@pytest.mark.parametrize("device", ["cuda:31", "mps"])
def test_a_device_that_is_not_there(bamctl: object, device: str) -> None:
    result = bamctl("latency", "resnet18", "--device", device)
    assert (result.returncode, result.stdout) == (3, "")
    assert f"device '{device}' is not available" in result.stderr
    assert len(result.stderr) < 250


def test_analyze_has_a_column(bamctl: object) -> None:
    found = json.loads(
        bamctl(
            "analyze", "resnet18", "--latency", "--device", "rtx4090", "--batch-size", "64",
            "--format", "json",
        ).stdout
    )  # fmt: skip
    asked = json.loads(
        bamctl(
            "latency", "resnet18", "--device", "rtx4090", "--batch-size", "64", "--format", "json"
        ).stdout
    )
    alone = {site["module"]: site["latency_ms"] for site in asked["batches"][0]["sites"]}
    points = {point["module"]: point for point in found["points"]}
    assert {name: points[name]["added_latency_ms"] for name in alone} == pytest.approx(alone)
    placed = found["placements"]["bottleneck"]
    assert placed["added_latency_ms"] == pytest.approx(sum(alone.values()))
    assert found["latency"]["estimated"] is True
    low, high = found["latency"]["base_ms_90"]
    assert low < found["latency"]["base_ms"] < high


def test_analyze_measures(bamctl: object) -> None:
    text = bamctl(
        "analyze", "resnet18", "--input", "3x64x64", "--latency", "--device", "cpu"
    ).stdout
    assert "Measured on cpu" in text
    header = next(line for line in text.splitlines() if line.startswith("stage"))
    assert header.endswith("latency")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "rtx4090"], "--device requires --latency"),
        (["--batch-size", "2"], "--batch-size requires --latency"),
        (["--latency", "--device", "rtx409"], "did you mean 'rtx4090'"),
    ],
)
def test_bad_input_of_analyze(bamctl: object, arguments: list[str], words: str) -> None:
    assert_one_line_error(bamctl("analyze", "resnet18", *arguments), words)


def test_a_budget_holds_an_estimate(bamctl: object, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "schema: 1\nmodel: resnet18\nwhere: bottleneck\nbudget:\n"
        "  latency: {max: +10 %, device: rtx4090, batch_size: 1}\n"
    )
    result = bamctl("check", "p.yaml")
    # At batch 1, three modules of small kernels cost far more than a tenth.
    assert result.returncode == 1
    assert "estimated for rtx4090" in result.stdout
