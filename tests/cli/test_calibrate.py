"""`bamctl calibrate` through the real console script."""

import json
from pathlib import Path

import pytest

from tests.conftest import assert_one_line_error

TABLE = """\
device,model,input_size,batch_size,images_per_second,memory_format,precision
mine,resnet18,64,256,90000,channels_last,amp_fp16
mine,squeezenet1_1,64,256,120000,channels_last,amp_fp16
mine,mobilenet_v3_small,64,256,300000,channels_last,amp_fp16
"""
SHEET = "--matrix-tflops 165 --vector-tflops 83 --bandwidth-gbps 1008 --cache-mb 72".split()


@pytest.fixture
def table(tmp_path: Path) -> str:
    (tmp_path / "times.csv").write_text(TABLE)
    return "times.csv"


def test_from_a_table_to_an_estimate(bamctl: object, tmp_path: Path, table: str) -> None:
    made = bamctl(
        "calibrate", "--from", table, "--name", "mine", *SHEET, "--report", "--out", "mine.yaml"
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith("mine   amp_fp16   channels_last\n")
    for name in ("resnet18", "squeezenet1_1", "mobilenet_v3_small"):
        assert f"\n{name} " in made.stdout
    used = bamctl("latency", "resnet18", "--device", "mine.yaml", "--format", "json")
    profile = json.loads(used.stdout)["profile"]
    assert (profile["name"], profile["num_networks"]) == ("mine", 3)
    assert profile["hardware"]["bandwidth_gbps"] == 1008
    assert set(profile["held_out"]["families"]) == {"mobilenetv3", "resnet", "squeezenet"}


def test_on_this_machine(bamctl: object, tmp_path: Path) -> None:
    made = bamctl(
        "calibrate", "--device", "cpu", "--model", "squeezenet1_1", "--model", "mnasnet0_5",
        "--batch-size", "1", "--out", "here.yaml", "--format", "json",
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    found = json.loads(made.stdout)
    assert [each["model"] for each in found["networks"]] == ["squeezenet1_1", "mnasnet0_5"]
    assert (tmp_path / "here.yaml").read_text().startswith("schema: 1\nname: cpu\n")


def test_from_a_data_sheet_to_an_estimate(bamctl: object, tmp_path: Path) -> None:
    made = bamctl(
        "calibrate", "--datasheet", "a100", "--known", "resnet18@256=9000",
        "--memory-format", "channels_last", "--out", "mine.yaml",
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith("a100   amp_fp16   channels_last   from its data sheet\n")
    assert "9000 images/s of resnet18 at batch 256" in " ".join(made.stdout.split())
    used = bamctl("latency", "resnet18", "--device", "mine.yaml", "--format", "json")
    profile = json.loads(used.stdout)["profile"]
    assert profile["hardware"]["matrix_tflops"] == 312
    assert profile["known"] == [{"model": "resnet18", "batch_size": 256, "images_per_second": 9000}]


def test_a_card_of_tomorrow(bamctl: object) -> None:
    made = bamctl(
        "calibrate", "--tflops", "500", "--bandwidth", "2500", "--cache", "64", "--watts", "350",
        "--name", "tomorrow", "--precision", "bf16", "--format", "json",
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    profile = json.loads(made.stdout)["profile"]
    assert (profile["name"], profile["precision"]) == ("tomorrow", "bf16")
    # Not in the data sheet: a fourth of the matrix units' peak, and said to be assumed.
    assert profile["hardware"]["vector_tflops"] == 125
    assert profile["assumed"] == ["vector_tflops"]


def test_the_errors_of_devices_left_out(bamctl: object, tmp_path: Path) -> None:
    rows = TABLE.splitlines()[1:]
    other = [row.replace("mine", device) for row in rows for device in ("rtx4090", "l40s")]
    (tmp_path / "times.csv").write_text("\n".join([TABLE.splitlines()[0], *other]) + "\n")
    made = bamctl("calibrate", "--learn", "times.csv", "--out", "learnt", "--format", "json")
    assert (made.returncode, made.stderr) == (0, "")
    found = json.loads(made.stdout)
    assert [each["device"] for each in found["devices"]] == ["rtx4090", "l40s"]
    assert found["devices"][0]["num_networks"] == 3
    assert found["times_inside"] >= 0.9
    assert {path.name for path in (tmp_path / "learnt").iterdir()} == {
        "population.yaml",
        "rtx4090.yaml",
        "l40s.yaml",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "times.csv"], "--from needs --name"),
        (["--from", "none.csv", "--name", "mine", *SHEET], "No such file"),
        (["--from", "times.csv", "--name", "mine"], "add --matrix-tflops, --vector-tflops"),
        (["--from", "times.csv", "--name", "mine", *SHEET[:2]], "part of a data sheet is missing"),
        (["--from", "times.csv", "--name", "mne", *SHEET], "did you mean 'mine'"),
        (
            ["--from", "times.csv", "--name", "mine", "--device", "cpu"],
            "--device cannot be combined with --from",
        ),
        (["--device", "cpu", "--cache-mb", "3"], "a data sheet requires --from"),
        (["--device", "cpu", "--model", "resnt18"], "did you mean 'resnet18'"),
        (["--device", "cpu", "--model", "resnet18"], "one family"),
        (["--device", "cpu", "--out", "profile.txt"], "end its name in .yaml"),
        (["--datasheet", "a1000"], "no data sheet of 'a1000' (did you mean 'a100"),
        (["--datasheet", "v100", "--precision", "bf16"], "v100 has no matrix units for bf16"),
        (["--datasheet", "a100", "--tflops", "3"], "--datasheet has the peaks"),
        (["--datasheet", "a100", "--device", "cpu"], "--device cannot be combined with a data"),
        (["--datasheet", "a100", "--known", "resnet18=3"], "is not MODEL@BATCH=IMAGES_PER_SECOND"),
        (["--known", "resnet18@1=3"], "--known needs a data sheet"),
        (["--tflops", "312"], "add --bandwidth-gbps, --cache-mb"),
        (["--learn", "times.csv", "--name", "mine"], "--name cannot be combined with --learn"),
        (["--learn", "times.csv"], "leaving one out needs at least two"),
        (
            ["--tflops", "1248", "--bandwidth", "1555", "--cache", "40"],
            "implausible data sheet: 1248 TFLOPS",
        ),
    ],
)
def test_bad_input(bamctl: object, table: str, arguments: list[str], words: str) -> None:
    assert_one_line_error(bamctl("calibrate", *arguments), words)


def test_a_device_that_is_not_there(bamctl: object) -> None:
    result = bamctl("calibrate", "--device", "cuda:31")
    assert (result.returncode, result.stdout) == (3, "")
    assert "device 'cuda:31' is not available" in result.stderr
