"""`bamctl train` through the real console script."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image

from bamctl.data import _debian as debian
from bamctl.weights import checkpoints
from tests.conftest import REPOSITORY, assert_one_line_error
from tests.data.test_data import folder
from tests.interrupting import CODES, is_held, started
from tests.networks import Tiny

TINY, HELD = "tests.networks:Tiny", "tests.networks:Held"
QUICK = ["--steps", "8", "--seeds", "2", "--batch-size", "32"]


@pytest.fixture
def train(bamctl: object) -> object:
    """Runs `bamctl train` where the tests' own network can be imported, and files may name it."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        return bamctl("train", *arguments, "--trust", TINY, env=env)

    return run


def test_a_whole_comparison(train: object, tmp_path: Path) -> None:
    arms = ["--where", "bottleneck", "--where", "one"]
    found = train(TINY, *arms, *QUICK, "--control", "--out", "run", "--tensorboard")
    assert found.returncode == 0, found.stderr
    text = " ".join(found.stdout.split())
    assert "1,438 images to train on, 359 held out" in text
    for line in (
        "bottleneck - baseline",
        "one - baseline",
        "one - one:wider",
        "one - one:extra-block",
    ):
        assert line in found.stdout
    assert "There is no extra-block control for bottleneck" in text
    # Six or fewer comparisons; each seed of each arm counts once, and Holm's levels are shown.
    assert "Holm" in text
    run = tmp_path / "run"
    kept = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    assert kept == {
        "checkpoints",
        "config.yaml",
        "curves.png",
        "curves.svg",
        "metrics.jsonl",
        "report.html",
        "result.json",
        "tensorboard",
        "timing.jsonl",
        "weights",
    }
    with Image.open(run / "curves.png") as picture:
        assert picture.size == (1050, 675)
    assert "one:wider" in (run / "curves.svg").read_text() or (run / "curves.svg").stat().st_size
    assert len(list((run / "tensorboard").rglob("events.*"))) >= 2 * 6


def test_json_contract(train: object, tmp_path: Path) -> None:
    found = train(TINY, *QUICK, "--out", "run", "--format", "json")
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert data["schema"] == 2
    assert [arm["name"] for arm in data["arms"]] == ["baseline", "bottleneck"]
    for arm in data["arms"]:
        assert len(arm["accuracy"]) == 2
        assert arm["seconds_per_step"] > 0
        assert arm["peak_memory_bytes"] > 0
    (comparison,) = data["comparisons"]
    assert comparison["arm"] == "bottleneck"
    assert comparison["baseline"] == "baseline"
    low, high = comparison["delta_ci95"]
    assert low <= comparison["delta_mean"] <= high
    assert comparison["verdict"] in ("helps", "hurts", "inconclusive")
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == data


def test_a_configuration_repeats_a_comparison(train: object, tmp_path: Path) -> None:
    one = train(TINY, *QUICK, "--reduction", "4", "--out", "one", "--format", "csv")
    two = train("--config", "one/config.yaml", "--out", "two", "--format", "csv")
    assert two.returncode == 0, two.stderr
    assert one.stdout == two.stdout
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("one", "two")]
    assert metrics[0] == metrics[1]
    config = yaml.safe_load((tmp_path / "one" / "config.yaml").read_text())
    assert config["placements"]["bottleneck"]["attention"]["reduction"] == 4
    assert config["placements"]["bottleneck"]["where"] == ["one", "two"]


def test_final_weights_can_be_inserted(train: object, bamctl: object, tmp_path: Path) -> None:
    train(TINY, *QUICK, "--out", "run")
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    weights = "run/weights/bottleneck.seed-1.safetensors"
    arguments = ["--weights", weights, "--trust", TINY, "--format", "json"]
    found = bamctl("insert", *arguments, env=env)
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert (data["model"], data["modules"]) == (TINY, ["one", "two"])


def test_killed_and_resumed(train: object, tmp_path: Path) -> None:
    """By the command that it names itself when it is interrupted."""
    options = [HELD, "--steps", "30", "--seeds", "2", "--eval-every", "4", "--out"]
    whole = train(*options, "whole", "--format", "csv")
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        going = ["--resume", "part", "--trust", HELD]
        start = going if (tmp_path / "part").exists() else [*options, "part"]
        with started(tmp_path, "train", *start, HELD_AFTER="20") as command:
            command.wait_for(is_held)
            command.end(number)
        assert command.process.returncode == CODES[number]
        told = command.told()
        assert (f"resume with `bamctl train --resume part --trust {HELD}`" in told) == (
            number is not signal.SIGKILL
        )
        (tmp_path / "held").unlink()
    resumed = train("--resume", "part", "--trust", HELD, "--format", "csv")
    assert resumed.stdout == whole.stdout
    assert (tmp_path / "part" / "metrics.jsonl").read_bytes() == (
        tmp_path / "whole" / "metrics.jsonl"
    ).read_bytes()


def test_more_seeds(train: object, tmp_path: Path) -> None:
    train(TINY, *QUICK, "--out", "run")
    found = train("--resume", "run", "--seeds", "3", "--format", "json")
    assert [len(arm["accuracy"]) for arm in json.loads(found.stdout)["arms"]] == [3, 3]
    assert_one_line_error(train("--resume", "run", "--seeds", "1"), "--seeds 1", "3")


def test_pretrained_weights_start_unchanged(train: object, tmp_path: Path) -> None:
    """The first evaluation, after a step at no learning rate worth the name, is the baseline's."""
    checkpoints.write(tmp_path / "w.safetensors", Tiny(), None)
    options = ["--weights", "w.safetensors", "--steps", "2", "--seeds", "1", "--lr", "1e-12"]
    found = train(TINY, *options, "--out", "run", "--format", "json")
    data = json.loads(found.stdout)
    baseline, arm = (each["accuracy"] for each in data["arms"])
    assert arm == baseline
    assert data["arms"][1]["placement"]["attention"]["init"] == "identity"


def test_a_placement_file_starts_unchanged_too_unless_it_says_otherwise(
    train: object, bamctl: object, tmp_path: Path
) -> None:
    """Whatever wrote the file, a default in it is no choice."""
    checkpoints.write(tmp_path / "w.safetensors", Tiny(), None)
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    small = ["--input", "3x32x32", "--where", "one"]
    bamctl("insert", TINY, *small, "--reduction", "8", "--out", "inserted.yaml", env=env)
    bamctl("check", "--init", TINY, *small, "--output", "checked.yaml", env=env)
    (tmp_path / "plain.yaml").write_text("where: one\nattention: {reduction: 4}\n")
    (tmp_path / "block.yaml").write_text("where: one\nattention: {module: extra-block}\n")
    (tmp_path / "chosen.yaml").write_text("where: one\nattention: {init: kaiming}\n")
    (tmp_path / "site.yaml").write_text("where: [one, two]\ninsertions: {two: {init: kaiming}}\n")
    names = ("inserted", "checked", "plain", "block", "chosen", "site")
    arms = [word for name in names for word in ("--placement", f"{name}.yaml")]
    options = ["--weights", "w.safetensors", "--steps", "1", "--seeds", "1", "--out", "run"]
    found = train(TINY, *arms, *options, "--format", "json")
    assert found.returncode == 0, found.stderr
    placements = {arm["name"]: arm["placement"] for arm in json.loads(found.stdout)["arms"][1:]}
    starts = {name: each["attention"]["init"] for name, each in placements.items()}
    assert starts == {**dict.fromkeys(names, "identity"), "chosen": "kaiming"}
    assert placements["site"]["insertions"] == {"two": {"init": "kaiming"}}
    assert placements["plain"]["attention"]["reduction"] == 4
    assert placements["inserted"]["attention"]["reduction"] == 8


def test_minutes_become_steps(train: object, tmp_path: Path) -> None:
    started = time.perf_counter()
    found = train(TINY, "--max-minutes", "0.1", "--seeds", "2", "--out", "run", "--format", "json")
    assert found.returncode == 0, found.stderr
    taken = time.perf_counter() - started
    steps = json.loads(found.stdout)["recipe"]["steps"]
    print(f"{steps} steps in {taken:.1f} s for 6 s of training")
    assert steps > 20
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["recipe"]["steps"] == steps


@pytest.mark.skipif(not debian.FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist(train: object) -> None:
    options = ["--data", "fashion-mnist", "--steps", "150", "--lr", "0.1", "--seeds", "1", "--test"]
    found = train(TINY, *options, "--out", "run", "--format", "json")
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert (data["num_train"], data["num_held_out"]) == (55_000, 5_000)
    assert data["arms"][0]["accuracy"][0] > 0.3
    # 10,000 images in the test split: what it reads is a multiple of a ten-thousandth.
    (tested,) = data["arms"][0]["test_accuracy"]
    assert round(tested * 10_000) == pytest.approx(tested * 10_000)


BAD = {
    "no model": ([], ["no model"]),
    "unknown model": (["resnet81"], ["resnet18"]),
    "unknown data": (["resnet18", "--data", "cifar11"], ["did you mean", "cifar10"]),
    "absent data": (["resnet18", "--data", "cifar10"], ["download=True", "--download"]),
    "no folder": (["resnet18", "--data", "folder:nowhere"], ["nowhere"]),
    "two lengths": (["resnet18", "--steps", "3", "--epochs", "2"], ["--steps", "--epochs"]),
    "two arms of one name": (
        ["resnet18", *["--where", "block"] * 2],
        ["duplicate arm name", "'block'"],
    ),
    "two weights": (["resnet18", "--pretrained", "--weights", "x.pth"], ["--pretrained"]),
    "weights that are not there": (["resnet18", "--weights", "x.pth"], ["x.pth"]),
    "an unknown point": (["resnet18", "--where", "layer9"], ["layer9"]),
    "too few classes": (["resnet18", "--num-classes", "3"], ["--num-classes 10"]),
    "a large batch": (["resnet18", "--batch-size", "5000"], ["--batch-size 1438"]),
    "a negative rate": (["resnet18", "--lr", "-1"], ["lr"]),
    "too little time": (["tests.networks:Tiny", "--max-minutes", "0.001"], ["--max-minutes"]),
    "nothing to freeze": (["resnet18", "--freeze-backbone-epochs", "5"], ["--pretrained"]),
    "no run": (["--resume", "nowhere"], ["nowhere", "config.yaml"]),
    "no configuration": (["--config", "nowhere.yaml"], ["nowhere.yaml"]),
    "resumed otherwise": (["--resume", "x", "--lr", "1"], ["--lr", "leave it out"]),
    "resumed with a zero": (["--resume", "x", "--momentum", "0"], ["--momentum", "leave it out"]),
    "weights without a name": (["resnet18", "--weights", ""], ["--weights is empty"]),
    "no rate": (["resnet18", "--weight-decay", "1e300"], ["weight_decay: should be less than"]),
    "repeated otherwise": (["resnet18", "--config", "x"], ["MODEL", "leave it out"]),
    "too small for training": (
        [
            "inception_v3",
            "--input",
            "3x75x75",
            "--batch-size",
            "4",
            "--seeds",
            "1",
            "--dilation",
            "1",
        ],
        ["cannot be trained", "--input"],
    ),
    "two uses of a name": (["resnet18", "--out", "x", "--output", "x"], ["--output", "--out"]),
    "a broken input": (["resnet18", "--input", "3x"], ["3x"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, train: object) -> None:
    arguments, words = BAD[case]
    assert_one_line_error(train(*arguments), *words)


def test_bad_images(train: object, tmp_path: Path) -> None:
    folder(folder(tmp_path, "train", {"cat": 20, "dog": 20}), "val", {"cat": 4, "dog": 4})
    bad = tmp_path / "train" / "dog" / "5.png"
    bad.write_bytes(b"not an image")
    options = [TINY, "--data", f"folder:{tmp_path}", "--batch-size", "8", "--steps", "4"]
    options += ["--input", "3x32x32", "--seeds", "1", "--out", "run"]
    assert_one_line_error(train(*options), "5.png", "--bad-images skip")
    found = train(*options, "--bad-images", "skip", "--format", "json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["num_train"] == 39
    assert "5.png" in found.stderr
    for file in (tmp_path / "val" / "cat").iterdir():
        file.unlink()
    assert_one_line_error(train(*options, "--bad-images", "skip"), "cat", "no image")


def test_a_broken_configuration_names_its_line(train: object, tmp_path: Path) -> None:
    train(TINY, "--steps", "1", "--seeds", "1", "--out", "run")
    text = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(text.replace("  momentum:", "  momentun:"))
    line = text.splitlines().index("  momentum: 0.9") + 1
    found = train("--config", "bad.yaml")
    assert_one_line_error(found, f"bad.yaml:{line}", "did you mean 'momentum'")


def test_placement_files_are_arms(train: object, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"schema: 1\nmodel: {TINY}\nwhere: one\n")
    found = train("--placement", "mine.yaml", *QUICK, "--out", "run", "--format", "json")
    assert found.returncode == 0, found.stderr
    assert [arm["name"] for arm in json.loads(found.stdout)["arms"]] == ["baseline", "mine"]
