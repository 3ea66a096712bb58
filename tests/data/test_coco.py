"""Folders with annotations in the format of COCO: what is read, and what is refused or skipped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as pycoco

from bamctl.data import sets
from bamctl.data.sets import Data
from bamctl.errors import InputError

USUAL = (3, 64, 64)
POINTS = ["nose", "left_hand", "right_hand"]
# A triangle; a square with a gap in the ids of the categories, and two keypoints that are labelled.
TRIANGLE = {"category_id": 7, "bbox": [2, 2, 8, 8], "segmentation": [[2, 2, 10, 2, 2, 10]]}
SQUARE = {
    "category_id": 3,
    "bbox": [20, 10, 6, 4],
    "segmentation": [[20, 10, 26, 10, 26, 14, 20, 14]],
}
PERSON = {**SQUARE, "keypoints": [21, 11, 2, 25, 12, 1, 0, 0, 0]}


def annotations(*images: list[dict[str, Any]]) -> dict[str, Any]:
    marks = [
        {"id": 100 * number + row, "image_id": number, "iscrowd": 0, **each}
        for number, found in enumerate(images)
        for row, each in enumerate(found)
    ]
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": 40, "height": 30}
            for number in range(len(images))
        ],
        "annotations": marks,
        "categories": [
            {"id": 7, "name": "cup"},
            {"id": 3, "name": "person", "keypoints": POINTS, "skeleton": []},
        ],
    }


def write(root: Path, split: str, content: dict[str, Any], kind: str = "instances") -> Path:
    (root / "annotations").mkdir(exist_ok=True)
    (root / f"{split}2017").mkdir(exist_ok=True)
    for number in range(len(content["images"])):
        pixels = np.tile(np.arange(40, dtype=np.uint8), (30, 1))
        Image.fromarray(pixels).convert("RGB").save(root / f"{split}2017" / f"{number}.png")
    path = root / "annotations" / f"{kind}_{split}2017.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "train", annotations([TRIANGLE, PERSON], [], [PERSON]))
    write(tmp_path, "val", annotations([PERSON], []))
    return tmp_path


def load(root: Path, task: str = "detection", **options: object) -> Data:
    return sets.load(f"coco:{root}", usual_shape=USUAL, task=task, **options)


def test_boxes_and_classes(root: Path) -> None:
    data = load(root)
    # In the order of their ids, numbered from 1 without gaps.
    assert data.classes == ("person", "cup")
    assert data.input_shape == USUAL
    # An image without objects is left out of training, but not of what is held out.
    assert (len(data.train), len(data.held_out)) == (2, 2)
    batch = data.train.batch(torch.arange(2), None)
    assert [each.shape for each in batch.inputs] == [(3, 30, 40)] * 2
    assert batch.targets[0]["boxes"].tolist() == [[2, 2, 10, 10], [20, 10, 26, 14]]
    assert batch.targets[0]["labels"].tolist() == [2, 1]
    empty = data.held_out.batch(torch.tensor([1]), None).targets[0]
    assert empty["boxes"].shape == (0, 4)


def test_masks_of_polygons_and_run_lengths(root: Path) -> None:
    square = np.zeros((30, 40), np.uint8, order="F")
    square[10:14, 20:26] = 1
    packed = pycoco.encode(square)
    # Column by column: 20 columns of 30 and 10 pixels of the next before the first, 4 at a time.
    counts = [20 * 30 + 10, 4, 26, 4, 26, 4, 26, 4, 26, 4, 26, 4]
    counts += [40 * 30 - sum(counts)]
    forms = [
        SQUARE["segmentation"],
        {"size": [30, 40], "counts": packed["counts"].decode()},
        {"size": [30, 40], "counts": counts},
    ]
    marks = [{**SQUARE, "segmentation": form} for form in forms]
    write(root, "train", annotations([*marks, TRIANGLE]))
    masks = load(root, "instance-segmentation").train.batch(torch.tensor([0]), None)
    found = masks.targets[0]["masks"]
    assert found.dtype == torch.uint8
    for mask in found[:3]:
        assert torch.equal(mask, torch.from_numpy(square.copy()))
    # Half of 8 x 8 pixels; pixels on the diagonal may fall on either side.
    assert 28 <= found[3].sum() <= 36


def test_keypoints_and_their_mirror(root: Path) -> None:
    data = load(root, "keypoints")
    assert data.keypoints == tuple(POINTS)
    assert data.classes == ("person",)
    train = data.train
    straight = train.batch(torch.tensor([0]), None)
    assert straight.targets[0]["keypoints"].tolist() == [[[21, 11, 2], [25, 12, 1], [0, 0, 0]]]
    assert straight.targets[0]["labels"].tolist() == [1]
    seen = []
    for draw in range(12):
        batch = train.batch(torch.tensor([0]), torch.tensor([draw]))
        if not torch.equal(batch.inputs[0], straight.inputs[0]):
            # Of 40 pixels: 21 is 19, 25 is 15; the left hand is the right one in the mirror.
            assert batch.targets[0]["keypoints"].tolist() == [[[19, 11, 2], [0, 0, 0], [15, 12, 1]]]
            assert batch.targets[0]["boxes"].tolist() == [[14, 10, 20, 14]]
            seen.append(draw)
    assert 0 < len(seen) < 12


def test_the_file_of_keypoints_is_preferred(root: Path) -> None:
    other = annotations([PERSON] * 2, [PERSON])
    write(root, "train", other, "person_keypoints")
    assert len(load(root).train.batch(torch.tensor([0]), None).targets[0]["boxes"]) == 2
    points = load(root, "keypoints").train.batch(torch.tensor([0]), None).targets[0]["keypoints"]
    assert points.shape == (2, 3, 3)


def test_crowds_are_not_trained_on(root: Path) -> None:
    crowd = {**TRIANGLE, "iscrowd": 1}
    for split in ("train", "val"):
        write(root, split, annotations([PERSON, crowd]))
    data = load(root)
    assert data.train.batch(torch.tensor([0]), None).targets[0]["iscrowd"].tolist() == [0]
    assert data.held_out.batch(torch.tensor([0]), None).targets[0]["iscrowd"].tolist() == [0, 1]


Content = dict[str, Any]


def missing_image(root: Path, content: Content) -> None:
    (root / "train2017" / "2.png").unlink()


def unlisted_image(root: Path, content: Content) -> None:
    content["annotations"][-1]["image_id"] = 55


def outside(root: Path, content: Content) -> None:
    content["annotations"][-1]["bbox"] = [30, 10, 20, 4]


def no_area(root: Path, content: Content) -> None:
    content["annotations"][-1]["bbox"] = [30, 10, 0, 4]


def empty_mask(root: Path, content: Content) -> None:
    content["annotations"][-1]["segmentation"] = []


def no_mask(root: Path, content: Content) -> None:
    content["annotations"][-1]["segmentation"] = {"size": [30, 40], "counts": [1200]}


def odd_box(root: Path, content: Content) -> None:
    content["annotations"][-1]["bbox"] = [30, 10, 4]


def odd_class(root: Path, content: Content) -> None:
    content["annotations"][-1]["category_id"] = 5


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing_image, r"train2017.json names the missing image \S*2.png"),
        (unlisted_image, r"train2017.json: annotation 200 names the missing image 55"),
        (outside, r"2.png: the box 30, 10, 50, 14 is outside of the image of 40x30"),
        (no_area, r"2.png: the box 30, 10, 30, 14 has no area \(annotation 200"),
        (empty_mask, r"2.png: a mask is empty \(annotation 200"),
        (no_mask, r"2.png: a mask is empty \(annotation 200"),
        (odd_box, r"2.png: not enough values to unpack \(expected 4, got 3\)"),
        (odd_class, r"2.png: the category 5 is not listed"),
    ],
)
def test_a_faulty_annotation_is_refused_or_skipped(
    spoil: Callable[[Path, Content], None], said: str, root: Path
) -> None:
    content = annotations([TRIANGLE, PERSON], [], [PERSON])
    path = write(root, "train", content)
    spoil(root, content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"{said}.*--bad-images skip") as refused:
        load(root, "instance-segmentation")
    assert "\n" not in str(refused.value)
    data = load(root, "instance-segmentation", bad_images="skip")
    assert len(data.train) == 1
    assert len(data.skipped) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keypoints": [1, 2, 2]}, "3 numbers for 3 keypoints"),
        ({"keypoints": ["x", 2, 2] * 3}, "could not convert string to float: 'x'"),
        ({"bbox": None}, "NoneType"),
        ({"image_id": [1]}, "has an id that is no integer"),
    ],
)
def test_odd_values_are_one_line(change: dict[str, Any], said: str, root: Path) -> None:
    content = annotations([PERSON])
    content["annotations"][0] |= change
    write(root, "train", content)
    with pytest.raises(InputError, match=said) as refused:
        load(root, "keypoints")
    assert "\n" not in str(refused.value)


def test_a_mask_that_turns_out_empty_is_named_when_it_is_read(root: Path) -> None:
    """A polygon with an area under a pixel, which covers no pixel's centre."""
    thin = {**SQUARE, "segmentation": [[20.1, 10.1, 20.2, 10.1, 20.2, 10.2]]}
    odd = {**SQUARE, "segmentation": {"size": [5, 5], "counts": [5, 15, 5]}}
    write(root, "train", annotations([thin], [odd], [SQUARE]))
    batch = load(root, "instance-segmentation").train.batch(torch.arange(3), None)
    assert len(batch) == 1
    assert "0.png (a mask is empty)" in batch.unreadable[0]
    assert "1.png (a mask has 5x5 pixels, not 40x30)" in batch.unreadable[1]


def test_what_is_no_annotation_file(root: Path) -> None:
    path = root / "annotations" / "instances_train2017.json"
    path.write_text("{")
    with pytest.raises(InputError, match=r"train2017.json: cannot be read"):
        load(root)
    path.write_text("[]")
    with pytest.raises(InputError, match=r"no list of images; is it an annotation file of COCO"):
        load(root)
    content = annotations([PERSON])
    del content["annotations"][0]["bbox"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="of annotations has no bbox"):
        load(root)
    content = annotations([TRIANGLE])
    del content["categories"][1]["keypoints"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="keypoints"):
        load(root, "keypoints")
    path.unlink()
    with pytest.raises(InputError, match=r"no annotations/\*train\*.json .*coco:PATH"):
        load(root)


def test_another_val_split(root: Path) -> None:
    content = annotations([PERSON])
    content["categories"].pop(0)
    write(root, "val", content)
    with pytest.raises(InputError, match="does not have the categories of instances_train2017"):
        load(root)


def test_without_val_a_part_is_held_out_and_a_test_split_is_read_if_asked(tmp_path: Path) -> None:
    write(tmp_path, "train", annotations(*([PERSON] for _ in range(10))))
    write(tmp_path, "test", annotations([PERSON], [PERSON]))
    data = load(tmp_path, with_test=True)
    assert [len(each) for each in (data.train, data.held_out, data.test)] == [8, 2, 2]
