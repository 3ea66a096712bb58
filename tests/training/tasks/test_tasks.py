"""Losses and measures of every task, against values by hand."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bamctl.data.images import ArrayImages, Batch
from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.networks import trust
from bamctl.networks.spec import NetworkSpec
from bamctl.training.recipe import Recipe
from bamctl.training.tasks.keypoint_map import sigmas
from bamctl.training.tasks.tasks import TASKS, task_named, usual_task
from bamctl.training.train import train

OWN = "tests.training.tasks.own"
RECIPE = Recipe(steps=1, lr=0.1, eval_every=1)
CLASSES = ("background", "one", "two")


class Says(nn.Module):
    """A network whose answers are written down, in training and in eval mode."""

    def __init__(self, answer: Any, loss: Any = None) -> None:
        super().__init__()
        self.answer, self.in_training = answer, loss

    def forward(self, *inputs: Any) -> Any:
        return self.in_training if self.training and self.in_training is not None else self.answer


def data(classes: tuple[str, ...] = CLASSES) -> Data:
    images = ArrayImages(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.zeros(1).long())
    return Data("made", images, images, None, classes, (3, 2, 2), torch.zeros(3), torch.ones(3))


def evaluated(task: str, network: nn.Module, *batches: Batch) -> Any:
    return TASKS[task].evaluate(network.eval(), batches, data(), Accelerator(cpu=True))


def scores(classes: list[list[int]], sure: float = 10.0) -> Tensor:
    """Scores with shape (1, 3, H, W) whose largest is that of the given classes."""
    found = torch.zeros(1, 3, len(classes), len(classes[0]))
    return found.scatter(1, torch.tensor(classes)[None, None], sure)


PIXELS = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)


def test_mean_iou() -> None:
    """Of class 0, 1 of 2 pixels; of class 1, 2 of 3; class 2 does not occur: (1/2 + 2/3) / 2."""
    batch = Batch(PIXELS, torch.tensor([[[0, 0], [1, 1]]]))
    found = evaluated("segmentation", Says({"out": scores([[0, 1], [1, 1]])}), batch)
    assert found.value == pytest.approx(7 / 12)
    # Four pixels, of which one has a score that is 10 lower than the largest.
    right, wrong = math.log(1 + 2 * math.exp(-10)), math.log(1 + 2 * math.exp(-10)) + 10
    assert found.loss == pytest.approx((3 * right + wrong) / 4, rel=1e-5)


def test_pixels_that_are_not_judged() -> None:
    batch = Batch(PIXELS, torch.tensor([[[0, 255], [1, 255]]]))
    found = evaluated("segmentation", Says({"out": scores([[0, 2], [1, 0]])}), batch)
    assert found.value == 1
    assert found.loss == pytest.approx(math.log(1 + 2 * math.exp(-10)), rel=1e-3)


def test_iou_is_of_all_images_and_not_a_mean_of_theirs() -> None:
    """One pixel of class 1 in each image, found once: 1/2, and of class 0 7 of 8."""
    target = torch.tensor([[[0, 0], [0, 1]]])
    network = Says(None)
    batches = [Batch(PIXELS, target), Batch(PIXELS, target)]
    answers = iter([{"out": scores([[0, 0], [0, 1]])}, {"out": scores([[0, 0], [0, 0]])}])
    network.forward = lambda x: next(answers)  # type: ignore[method-assign]
    assert evaluated("segmentation", network, *batches).value == pytest.approx((1 / 2 + 6 / 7) / 2)


def test_half_of_an_auxiliary_head_counts() -> None:
    target = torch.tensor([[[0, 1], [0, 1]]])
    out, aux = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2)
    network = Says(None, {"out": out, "aux": aux}).train()
    loss = TASKS["segmentation"].loss(network, Batch(PIXELS, target), data(), RECIPE)
    expected = [-each.log_softmax(1).gather(1, target[:, None]).mean() for each in (out, aux)]
    assert loss.item() == pytest.approx((expected[0] + expected[1] / 2).item())


def objects(*boxes: tuple[float, ...], labels: tuple[int, ...] = (), **more: Tensor) -> Any:
    """Objects of one image, of class 1 if nothing is said."""
    named = torch.tensor(labels or (1,) * len(boxes))
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": named, **more}


class Detects(Says):
    """A detector: losses where it is asked for them."""

    def forward(self, images: Any, targets: Any = None) -> Any:
        return self.answer if targets is None else {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}


IMAGES = [torch.zeros(3, 100, 100, dtype=torch.uint8)]


@pytest.mark.parametrize(
    ("found", "scored", "expected"),
    [
        # Half of the objects at every threshold: 51 of the 101 recalls that COCO looks at.
        ([(10, 10, 50, 50)], [0.9], 51 / 101),
        # An overlap of 0.77 counts for the thresholds 0.50, 0.55, ..., 0.75, six of ten; for the
        # others it is a false positive before the second object, so that precision is one half.
        ([(10, 10, 50, 40.8), (60, 60, 90, 90)], [0.9, 0.8], (6 + 4 * (51 / 2) / 101) / 10),
        # A false positive between the two: precision 1 up to a recall of one half, then 2/3.
        (
            [(10, 10, 50, 50), (60, 60, 90, 90), (0, 70, 20, 99)],
            [0.9, 0.7, 0.8],
            (51 + 50 * 2 / 3) / 101,
        ),
    ],
)
def test_box_map(found: list[Any], scored: list[float], expected: float) -> None:
    truth = objects((10, 10, 50, 50), (60, 60, 90, 90))
    network = Detects([objects(*found, scores=torch.tensor(scored))])
    result = evaluated("detection", network, Batch(IMAGES, [truth]))
    assert result.value == pytest.approx(expected, abs=1e-4)
    assert result.loss == 3


def test_mask_map() -> None:
    """Half of a mask is an overlap of 0.5, which counts for one threshold of ten."""
    mask = torch.zeros(1, 100, 100)
    mask[:, 10:50, 10:50] = 1
    half = mask.clone()
    half[:, 30:] = 0
    truth = objects((10, 10, 50, 50), masks=mask.to(torch.uint8))
    answer = objects((10, 10, 50, 50), masks=half[:, None], scores=torch.tensor([0.9]))
    found = evaluated("instance-segmentation", Detects([answer]), Batch(IMAGES, [truth]))
    assert found.value == pytest.approx(0.1)


def test_keypoint_map() -> None:
    """A similarity of 0.72 counts for the thresholds 0.50 to 0.70, five of ten."""
    points = torch.tensor([[[20.0, 20, 1], [40, 20, 1], [40, 40, 1], [20, 40, 1]]])
    area = 40.0 * 40.0
    distance = math.sqrt(-2 * math.log(0.72) * area * float(2 * sigmas(4)[0]) ** 2)
    moved = points.clone()
    moved[..., 0] += distance
    truth = objects((10, 10, 50, 50), keypoints=points)
    answer = objects((10, 10, 50, 50), keypoints=moved, scores=torch.tensor([0.9]))
    found = evaluated("keypoints", Detects([answer]), Batch(IMAGES, [truth]))
    assert found.value == pytest.approx(0.5)
    assert sigmas(17)[0] == 0.026


def test_detectors_are_told_apart_by_what_they_return() -> None:
    network = Detects([objects((1, 1, 2, 2), scores=torch.tensor([0.5]))])
    with pytest.raises(InputError, match="no masks"):
        evaluated("instance-segmentation", network, Batch(IMAGES, [objects((1, 1, 2, 2))]))


def test_end_point_error() -> None:
    """Errors of 5 and 13 pixels, and one that is not known."""
    target = torch.zeros(1, 3, 1, 3)
    target[0, :, 0, 0] = torch.tensor([3.0, 4, 1])
    target[0, :, 0, 1] = torch.tensor([5.0, 12, 1])
    target[0, :, 0, 2] = torch.tensor([99.0, 99, 0])
    pairs = torch.zeros(1, 2, 3, 1, 3, dtype=torch.uint8)
    network = Says([torch.ones(1, 2, 1, 3), torch.zeros(1, 2, 1, 3)])
    assert evaluated("optical-flow", network, Batch(pairs, target)).value == pytest.approx(9)
    assert TASKS["optical-flow"].measure.lower_is_better


def test_the_sequence_loss_weighs_later_updates_more() -> None:
    """Two updates that are off by 1 and by 2 everywhere: 0.8 x 1 + 2."""
    target = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    pairs = torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)
    flows = [torch.full((1, 2, 4, 4), 1.0), torch.full((1, 2, 4, 4), 2.0)]
    loss = TASKS["optical-flow"].loss(Says(flows), Batch(pairs, target), data(), RECIPE)
    assert loss.item() == pytest.approx(2.8)


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("resnet18", "classification"),
        ("quantized_resnet18", "classification"),
        ("timm:convnext_atto", "classification"),
        ("fcn_resnet50", "segmentation"),
        ("ssd300_vgg16", "detection"),
        ("maskrcnn_resnet50_fpn", "instance-segmentation"),
        ("keypointrcnn_resnet50_fpn", "keypoints"),
        ("r3d_18", "video"),
        ("raft_small", "optical-flow"),
        ("tests.networks:Tiny", "classification"),
    ],
)
def test_a_network_has_a_usual_task(model: str, task: str) -> None:
    trust.trust(model)
    assert usual_task(NetworkSpec(model=model)) == task


def test_regions_are_few_where_objects_are() -> None:
    """And as they are in other data, and in networks that propose none."""
    scenes = replace(data(), name="scenes", keypoints=("top", "bottom"))
    faster, single = (NetworkSpec(model=n) for n in ("keypointrcnn_resnet50_fpn", "ssd300_vgg16"))
    options = TASKS["keypoints"].network_options(faster, scenes)
    assert options["num_classes"] == 4
    assert options["args"]["num_keypoints"] == 2
    assert options["args"]["box_batch_size_per_image"] == 32
    assert TASKS["detection"].network_options(single, scenes)["args"] == {}
    assert TASKS["detection"].network_options(faster, data())["args"] == {}


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(InputError, match="did you mean 'segmentation'"):
        task_named("segmentations")


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    """The same runs as of classification, whose accuracies are known: 1000 (1 - accuracy)."""
    common: dict[str, Any] = {"where": ["bottleneck"], "seeds": 2, "device": "cpu", "steps": 4}
    common |= {"recipe": {"batch_size": 32}}
    ours = train("tests.networks:Tiny", **common, out=tmp_path / "ours")
    theirs = train("tests.networks:Tiny", **common, task=f"{OWN}:make", out=tmp_path / "theirs")
    for one, other in zip(ours.arms, theirs.arms, strict=True):
        assert other.values == pytest.approx([1000 * (1 - value) for value in one.values])
    assert theirs.guess == pytest.approx(900)
    signs = [each.comparisons[0].evidence.mean for each in (ours, theirs)]
    assert signs[1] == pytest.approx(-1000 * signs[0])
    again = train(resume=tmp_path / "theirs", seeds=2)
    assert [arm.values for arm in again.arms] == [arm.values for arm in theirs.arms]


def test_what_is_no_task_is_said() -> None:
    trust.trust(f"{OWN}:incomplete")
    with pytest.raises(InputError, match="returned a object without 'name'"):
        task_named(f"{OWN}:incomplete")
