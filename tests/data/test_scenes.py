"""Scenes of digits: targets agree with each other and with the pixels, splits share no digit."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bamctl.data import _debian as debian
from bamctl.data import sets
from bamctl.data._painting import Glyphs
from bamctl.data._scenes import of_glyphs
from bamctl.data._source import Wanted
from bamctl.data.images import Batch
from bamctl.data.sets import Data
from bamctl.data.task_names import TaskName
from bamctl.errors import InputError

USUAL = (3, 64, 64)
OBJECT_TASKS = ("detection", "instance-segmentation", "keypoints")
FIRST = torch.arange(24)


def scenes(task: TaskName, **options: object) -> Data:
    return sets.load("scenes", usual_shape=USUAL, task=task, **options)


@pytest.fixture(scope="module")
def instances() -> Batch:
    return scenes("instance-segmentation").held_out.batch(FIRST, None)


def test_sizes_of_the_splits_and_the_form_of_a_batch() -> None:
    data = scenes("segmentation", with_test=True)
    assert [len(each) for each in (data.train, data.held_out, data.test)] == [2000, 200, 200]
    assert data.input_shape == (3, 96, 96)
    assert data.classes == ("background", *"0123456789")
    batch = data.train.batch(torch.tensor([3, 1999]), None)
    assert (batch.inputs.shape, batch.inputs.dtype) == ((2, 3, 96, 96), torch.uint8)
    assert (batch.targets.shape, batch.targets.dtype) == ((2, 96, 96), torch.int64)


@pytest.mark.parametrize("task", OBJECT_TASKS)
def test_lists_of_objects(task: TaskName) -> None:
    data = scenes(task)
    assert data.classes == tuple("0123456789")
    batch = data.train.batch(torch.arange(4), None)
    assert [image.shape for image in batch.inputs] == [(3, 96, 96)] * 4
    for target in batch.targets:
        count = len(target["labels"])
        assert 1 <= count <= 5
        assert target["boxes"].shape == (count, 4)
        assert ("masks" in target) == (task == "instance-segmentation")
        assert ("keypoints" in target) == (task == "keypoints")
        assert target["iscrowd"].tolist() == [0] * count
        assert target["labels"].min() >= 1
        assert target["labels"].max() <= 10


def test_all_tasks_see_the_same_scenes_and_their_targets_agree(instances: Batch) -> None:
    segmentation = scenes("segmentation").held_out.batch(FIRST, None)
    keypoints = scenes("keypoints").held_out.batch(FIRST, None)
    for row, (image, target) in enumerate(zip(instances.inputs, instances.targets, strict=True)):
        assert torch.equal(image, segmentation.inputs[row])
        assert torch.equal(image, keypoints.inputs[row])
        masks, labels = target["masks"].long(), target["labels"]
        # Visible parts do not overlap, so that their sum is the class map.
        assert masks.sum(0).max() == 1
        assert torch.equal((masks * labels[:, None, None]).sum(0), segmentation.targets[row])
        for mask, box, points in zip(
            masks, target["boxes"], keypoints.targets[row]["keypoints"], strict=True
        ):
            y, x = mask.nonzero(as_tuple=True)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
            # Top, right, bottom and left touch the box from inside, by half a pixel.
            assert points[0, 1] == box[1] + 0.5
            assert points[1, 0] == box[2] - 0.5
            assert points[2, 1] == box[3] - 0.5
            assert points[3, 0] == box[0] + 0.5
            assert all(mask[int(y), int(x)] == 1 for x, y, _ in points)
            assert points[:, 2].tolist() == [2, 2, 2, 2]


def test_scales_overlaps_and_numbers_of_objects_vary(instances: Batch) -> None:
    counts = {len(target["labels"]) for target in instances.targets}
    sides = torch.cat([(each["boxes"][:, 2:] - each["boxes"][:, :2]) for each in instances.targets])
    assert len(counts) >= 4
    assert sides.max() > 36
    assert sides[:, 1].min() < 20
    assert any(
        (each["boxes"][0, :2] < each["boxes"][1, 2:]).all()
        and (each["boxes"][1, :2] < each["boxes"][0, 2:]).all()
        for each in instances.targets
        if len(each["boxes"]) > 1
    )


def test_objects_differ_from_their_background(instances: Batch) -> None:
    """At the border of an object brightness changes, or no network could learn where it ends."""
    image, target = instances.inputs[1].float().mean(0), instances.targets[1]
    inside = target["masks"].bool().any(0)
    ring = torch.nn.functional.max_pool2d(inside[None].float(), 7, 1, 3)[0].bool() & ~inside
    assert (image[inside].mean() - image[ring].mean()).abs() > 25


def plain(side: int) -> Glyphs:
    """Two white squares of classes 0 and 1, which cover all of their patch."""
    pixels = np.full((2, side, side), 255, np.uint8)
    return Glyphs(pixels, np.array([0, 1]), ("a", "b"), (80, 140))


def test_an_object_in_front_hides_and_a_nearly_hidden_one_is_no_object() -> None:
    wanted = Wanted("squares", None, False, "refuse", (3, 24, 24), USUAL, "instance-segmentation")
    source = of_glyphs(wanted, (plain(8), plain(8), plain(8)))
    kept = []
    for target in source.train.batch(torch.arange(300), None).targets:
        boxes, masks = target["boxes"], target["masks"]
        # Squares in front are whole: the last object fills its box.
        x1, y1, x2, y2 = boxes[-1].tolist()
        assert masks[-1].sum() == (x2 - x1) * (y2 - y1)
        assert x2 - x1 == y2 - y1
        # Sides run from 8 to 12 pixels: a third of the smallest square is 22 pixels.
        assert masks.flatten(1).sum(1).min() >= 22
        kept.append(len(boxes))
    assert min(kept) == 1
    # Of five squares of 8 to 12 pixels in 24 x 24, some hide others in a good part of the scenes.
    assert sum(kept) < 300 * 3


def test_a_scene_is_a_function_of_split_number_and_draw() -> None:
    data = scenes("segmentation", with_test=True)
    again = pickle.loads(pickle.dumps(scenes("segmentation").train))
    one = data.train.batch(torch.tensor([5, 6]), torch.tensor([9, 2**61]))
    alone = again.batch(torch.tensor([6]), torch.tensor([2**61]))
    assert torch.equal(one.inputs[1:], alone.inputs)
    assert torch.equal(one.targets[1:], alone.targets)
    of_number_5 = [
        data.train.batch(torch.tensor([5]), draws).inputs
        for draws in (None, torch.tensor([9]), torch.tensor([10]))
    ]
    others = [each.batch(torch.tensor([5]), None).inputs for each in (data.held_out, data.test)]
    every = [*of_number_5, *others]
    assert all(not torch.equal(one, two) for row, one in enumerate(every) for two in every[:row])
    assert data.fingerprint() == scenes("detection").fingerprint()


def test_the_splits_share_no_digit() -> None:
    data = scenes("segmentation", with_test=True)
    parts = [
        {image.tobytes() for image in split.make.glyphs.pixels}
        for split in (data.train, data.held_out, data.test)
    ]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    # 1,797 digits: every sixth is held out, every sixth is for the test, 299 times each.
    assert [len(split.make.glyphs) for split in (data.train, data.held_out, data.test)] == [
        1199,
        299,
        299,
    ]


def test_other_extents_and_grey() -> None:
    colour, grey = (
        scenes("segmentation", input_shape=(channels, 40, 56)).train.batch(FIRST, None)
        for channels in (3, 1)
    )
    assert colour.inputs.shape == (24, 3, 40, 56)
    assert grey.inputs.shape == (24, 1, 40, 56)
    assert torch.equal(colour.targets, grey.targets)
    # ITU-R 601-2: 0.299 R + 0.587 G + 0.114 B.
    weighted = (colour.inputs * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    assert (weighted - grey.inputs[:, 0]).abs().max() <= 1.001
    with pytest.raises(InputError, match="1 or 3 channels, not 4"):
        scenes("segmentation", input_shape=(4, 40, 56))


def test_a_subset_keeps_its_scenes() -> None:
    train = scenes("segmentation").train
    part = train.subset([7, 3])
    assert len(part) == 2
    chosen = train.batch(torch.tensor([7, 3]), None)
    assert torch.equal(part.batch(torch.arange(2), None).inputs, chosen.inputs)
    assert part.fingerprint() != train.fingerprint()


@pytest.mark.skipif(not debian.FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_scenes_of_clothes(tmp_path: Path) -> None:
    data = sets.load("fashion-scenes", usual_shape=USUAL, root=tmp_path, task="segmentation")
    assert data.classes[:2] == ("background", "T-shirt/top")
    # 60,000 images of Fashion-MNIST to train on: two thirds, and a sixth.
    assert [len(each.make.glyphs) for each in (data.train, data.held_out)] == [40_000, 10_000]
    classes = data.train.batch(FIRST, None).targets
    assert set(classes.unique().tolist()) == set(range(11))
