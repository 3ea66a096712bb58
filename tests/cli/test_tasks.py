"""`bamctl train` of every task, through the console script, on the data that needs no download."""

import json
import math
import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import assert_one_line_error
from tests.interrupting import started
from tests.training.conftest import weights

# The smallest of each family, with what makes a step of it short.
FEW = ["--arg", "rpn_post_nms_top_n_train=20", "--arg", "box_batch_size_per_image=4"]
FEW += ["--arg", "rpn_post_nms_top_n_test=10", "--arg", "box_detections_per_img=5"]
FEW += ["--input", "3x64x64", "--batch-size", "1"]
TWO = ["--batch-size", "2"]
NETWORKS = {
    "quantized_mobilenet_v2": ("classification", "accuracy", TWO),
    "lraspp_mobilenet_v3_large": ("segmentation", "mean_iou", TWO),
    "ssdlite320_mobilenet_v3_large": ("detection", "box_map", TWO),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ("detection", "box_map", FEW),
    "maskrcnn_resnet50_fpn": ("instance-segmentation", "mask_map", FEW),
    "keypointrcnn_resnet50_fpn": ("keypoints", "keypoint_map", FEW),
    "r3d_18": ("video", "accuracy", TWO),
    "raft_small": ("optical-flow", "end_point_error_px", TWO),
}
SHORT = ["--steps", "2", "--seeds", "2", "--held-out", "2", "--eval-every", "2"]


@pytest.mark.parametrize("model", NETWORKS)
def test_every_task_trains(model: str, bamctl: object, tmp_path: Path) -> None:
    """Two arms, two seeds, two steps: finite losses, a measure in its range, a verdict."""
    task, measure, options = NETWORKS[model]
    found = bamctl("train", model, *SHORT, *options, "--out", "run", "--format", "json")
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert (told["task"], told["measure"], told["num_held_out"]) == (task, measure, 2)
    for arm in told["arms"]:
        assert len(arm[measure]) == 2
        upper = math.inf if measure == "end_point_error_px" else 1
        assert all(0 <= value <= upper for value in arm[measure])
        assert all(math.isfinite(loss) for loss in arm["loss"] if loss is not None)
    (comparison,) = told["comparisons"]
    assert comparison["verdict"] in ("helps", "hurts", "inconclusive")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert all(math.isfinite(line["train_loss"]) for line in lines)


@pytest.mark.parametrize("model", ["lraspp_mobilenet_v3_large", "ssdlite320_mobilenet_v3_large"])
def test_killed_it_ends_the_same(model: str, bamctl: object, tmp_path: Path) -> None:
    """By `kill -9` after the first of four evaluations of each run, and to the last bit."""
    options = ["--steps", "4", "--seeds", "1", "--batch-size", "2", "--held-out", "2"]
    arguments = ["train", model, *options, "--eval-every", "1", "--workers", "1"]
    whole = bamctl(*arguments, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    with started(tmp_path, *arguments, "--out", "run") as command:
        until = time.monotonic() + 120
        while not lines_of(tmp_path / "run"):
            assert command.process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < until, "it does not train"
            time.sleep(0.01)
        os.killpg(command.process.pid, signal.SIGKILL)
    again = bamctl("train", "--resume", "run")
    assert again.returncode == 0, again.stderr
    assert lines_of(tmp_path / "run") == lines_of(tmp_path / "whole")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def lines_of(folder: Path) -> bytes:
    lines = folder / "metrics.jsonl"
    return lines.read_bytes() if lines.exists() else b""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet18", "--task", "segmentation"], "does not return a map of 11 class scores"),
        (["resnet18", "--task", "detection"], "is not a detector"),
        (
            ["lraspp_mobilenet_v3_large", "--task", "video"],
            "channels, frames, height and width",
        ),
        (["resnet18", "--task", "segmentatoin"], "did you mean 'segmentation'"),
        (["raft_small", "--data", "digits"], "shifted"),
        (["fcn_resnet50", "--data", "digits"], "scenes"),
        (["resnet18", "--held-out", "400"], "has 359 held-out samples"),
        (["resnet18", "--metric", "loss"], "add --train"),
        (["resnet18", "--train", "no_module:run"], "no_module"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    arguments: list[str], words: str, bamctl: object
) -> None:
    assert_one_line_error(bamctl("train", *arguments, "--steps", "1", "--seeds", "1"), words)
