"""Folders in the layout of PASCAL VOC: what is read, and what is refused or skipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bamctl.data import sets
from bamctl.data.sets import Data
from bamctl.errors import InputError

USUAL = (3, 32, 48)
Thing = tuple[str, tuple[int, int, int, int]]


def image(root: Path, name: str, size: tuple[int, int] = (40, 30)) -> Path:
    path = root / "JPEGImages" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    across = np.linspace(0, 255, size[0], dtype=np.uint8)
    Image.fromarray(np.tile(across, (size[1], 1))).convert("RGB").save(path)
    return path


def annotation(root: Path, name: str, *things: Thing) -> Path:
    path = root / "Annotations" / f"{name}.xml"
    path.parent.mkdir(exist_ok=True)
    parts = [
        f"<object><name>{cls}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>"
        for cls, (x1, y1, x2, y2) in things
    ]
    size = "<size><width>40</width><height>30</height><depth>3</depth></size>"
    path.write_text(f"<annotation>{size}{''.join(parts)}</annotation>")
    return path


def listed(root: Path, kind: str, **splits: list[str]) -> None:
    for split, names in splits.items():
        path = root / "ImageSets" / kind / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in names))


def mask(root: Path, name: str, values: np.ndarray) -> Path:
    path = root / "SegmentationClass" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    palette = Image.fromarray(values.astype(np.uint8)).convert("P")
    palette.putdata(values.flatten().tolist())
    palette.save(path)
    return path


def detection(root: Path) -> Path:
    for name in "abcd":
        image(root, name)
        annotation(root, name, ("cat", (1, 1, 10, 20)), ("person", (21, 6, 40, 30)))
    listed(root, "Main", train=["a", "b", "c"], val=["d  1"])
    return root


def load(root: Path, task: str = "detection", **options: object) -> Data:
    return sets.load(f"voc:{root}", usual_shape=USUAL, task=task, **options)


def test_boxes_count_from_0_and_end_behind_the_last_pixel(tmp_path: Path) -> None:
    data = load(detection(tmp_path))
    assert (len(data.train), len(data.held_out)) == (3, 1)
    assert len(data.classes) == 20
    batch = data.held_out.batch(torch.tensor([0]), None)
    assert batch.inputs[0].shape == (3, 30, 40)
    target = batch.targets[0]
    # VOC counts from 1 and includes both ends: 1 to 10 are the pixels 0 to 9, that is [0, 10).
    assert target["boxes"].tolist() == [[0, 0, 10, 20], [20, 5, 40, 30]]
    assert [data.classes[label - 1] for label in target["labels"]] == ["cat", "person"]
    assert target["iscrowd"].tolist() == [0, 0]


def test_mirrored_boxes_hold_the_mirrored_pixels(tmp_path: Path) -> None:
    train = load(detection(tmp_path)).train
    straight = train.batch(torch.tensor([0]), None)
    seen = set()
    for draw in range(12):
        batch = train.batch(torch.tensor([0]), torch.tensor([draw]))
        mirrored = not torch.equal(batch.inputs[0], straight.inputs[0])
        expected = straight.inputs[0].flip(-1) if mirrored else straight.inputs[0]
        assert torch.equal(batch.inputs[0], expected)
        # 40 pixels wide: [0, 10) is [30, 40) in the mirror, and [20, 40) is [0, 20).
        boxes = [[30, 0, 40, 20], [0, 5, 20, 30]] if mirrored else [[0, 0, 10, 20], [20, 5, 40, 30]]
        assert batch.targets[0]["boxes"].tolist() == boxes
        seen.add(mirrored)
    assert seen == {False, True}


def test_classes_of_ones_own_are_in_order_of_their_names(tmp_path: Path) -> None:
    detection(tmp_path)
    annotation(tmp_path, "a", ("zebra", (1, 1, 5, 5)))
    data = load(tmp_path)
    assert data.classes == ("cat", "person", "zebra")
    assert data.train.batch(torch.tensor([0]), None).targets[0]["labels"].tolist() == [3]


def test_without_lists_a_fifth_is_held_out(tmp_path: Path) -> None:
    for number in range(10):
        image(tmp_path, str(number))
        annotation(tmp_path, str(number), ("dog", (1, 1, 9, 9)))
    data = load(tmp_path)
    assert (len(data.train), len(data.held_out)) == (8, 2)


def outside(root: Path) -> None:
    annotation(root, "b", ("cat", (1, 1, 60, 20)))


def inverted(root: Path) -> None:
    annotation(root, "b", ("cat", (9, 9, 8, 20)))


def no_image(root: Path) -> None:
    (root / "JPEGImages" / "b.png").unlink()


def no_annotation(root: Path) -> None:
    (root / "Annotations" / "b.xml").unlink()


def broken(root: Path) -> None:
    (root / "Annotations" / "b.xml").write_text("<annotation><object>")


def no_number(root: Path) -> None:
    annotation(root, "b", ("cat", ("x", 1, 10, 20)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (outside, r"b\.xml: the box 0, 0, 60, 20 is outside of the image of 40x30"),
        (inverted, r"b\.xml: the box 8, 8, 8, 20 has no area"),
        (no_image, r"the image \S*b\.jpg is missing"),
        (no_annotation, r"the annotation \S*b\.xml is missing"),
        (broken, r"b\.xml: malformed: no element found"),
        (no_number, r"b\.xml: malformed: could not convert string to float: 'x'"),
    ],
)
def test_a_faulty_annotation_is_refused_or_skipped(
    spoil: object, said: str, tmp_path: Path
) -> None:
    spoil(detection(tmp_path))  # type: ignore[operator]
    with pytest.raises(InputError, match=f"{said}.*--bad-images skip") as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)
    data = load(tmp_path, bad_images="skip")
    assert len(data.train) == 2
    assert len(data.skipped) == 1


def test_an_image_of_another_size_than_its_annotation_is_named_when_it_is_read(
    tmp_path: Path,
) -> None:
    path = image(detection(tmp_path), "a", (20, 10))
    batch = load(tmp_path).train.batch(torch.arange(3), None)
    assert len(batch) == 2
    assert batch.unreadable == (f"{path} (the box 0, 0, 10, 20 is outside of the image of 20x10)",)


# A cat (8) on the left, a border that is not judged, a dog (12) below the background.
CLASSES = np.zeros((30, 40), int)
CLASSES[:, :10] = 8
CLASSES[:, 10] = 255
CLASSES[20:, 20:] = 12


def segmentation(root: Path) -> Path:
    for name in "abcd":
        image(root, name)
        mask(root, name, CLASSES)
    listed(root, "Segmentation", train=["a", "b", "c"], val=["d"])
    return root


def test_class_maps_at_their_own_size(tmp_path: Path) -> None:
    data = load(segmentation(tmp_path), "segmentation", input_shape=(3, 30, 40))
    assert (len(data.train), len(data.held_out)) == (3, 1)
    assert data.classes[0] == "background"
    assert (data.classes[8], data.classes[12]) == ("cat", "dog")
    batch = data.held_out.batch(torch.tensor([0]), None)
    assert torch.equal(batch.targets[0], torch.from_numpy(CLASSES))
    assert batch.inputs[0, 0, 0].tolist() == np.linspace(0, 255, 40, dtype=np.uint8).tolist()


def test_an_image_fits_into_the_input_and_the_rest_is_not_judged(tmp_path: Path) -> None:
    data = load(segmentation(tmp_path), "segmentation", input_shape=(3, 15, 32))
    batch = data.held_out.batch(torch.tensor([0]), None)
    # 30x40 fits into 15x32 at a half of its size, 15x20.
    assert (batch.targets[0, :, 20:] == 255).all()
    assert (batch.inputs[0, :, :, 20:] == 0).all()
    assert (batch.targets[0, :, :5] == 8).all()
    assert batch.targets[0, 14, 19] == 12
    assert batch.targets[0, 0, 19] == 0


def test_augmentation_moves_image_and_map_alike(tmp_path: Path) -> None:
    """The brightness grows from left to right, so that it tells where a pixel came from."""
    train = load(segmentation(tmp_path), "segmentation", input_shape=(3, 30, 40)).train
    draws = torch.arange(16)
    batch = train.batch(torch.zeros(16, dtype=torch.int64), draws)
    grey, classes = batch.inputs[:, 0], batch.targets
    # Brightness 255 in 39 steps: cats are left of column 10, at most 9 * 6.5 = 59.
    assert grey[classes == 8].max() <= 66
    assert grey[classes == 12].min() >= 124
    assert (
        len({tuple(torch.bincount(each.flatten(), minlength=256)[[8, 12]]) for each in classes}) > 8
    )
    again = train.batch(torch.zeros(16, dtype=torch.int64), draws)
    assert torch.equal(again.inputs, batch.inputs)


def test_a_label_map_gives_names_and_colours(tmp_path: Path) -> None:
    root = segmentation(tmp_path)
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nhouse:0,128,0::\ntree:0,0,128::\n"
    )
    colours = np.zeros((30, 40, 3), np.uint8)
    colours[:, :10, 1] = 128
    colours[:, 30:, 2] = 128
    colours[0] = (224, 224, 192)
    for name in "abcd":
        Image.fromarray(colours).save(root / "SegmentationClass" / f"{name}.png")
    data = load(root, "segmentation", input_shape=(3, 30, 40))
    assert data.classes == ("background", "house", "tree")
    classes = data.held_out.batch(torch.tensor([0]), None).targets[0]
    assert classes[5, [0, 20, 39]].tolist() == [1, 0, 2]
    assert (classes[0] == 255).all()
    colours[7, 7] = (1, 2, 3)
    Image.fromarray(colours).save(root / "SegmentationClass" / "d.png")
    (named,) = data.held_out.batch(torch.tensor([0]), None).unreadable
    assert "the colour [1, 2, 3], of no class" in named
    (root / "labelmap.txt").write_text("background\n")
    with pytest.raises(InputError, match=r"labelmap.txt:1: 'background' is not as cat:64,0,0::"):
        load(root, "segmentation")


def test_faulty_class_maps(tmp_path: Path) -> None:
    root = segmentation(tmp_path)
    (root / "SegmentationClass" / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"the mask \S*b.png is empty; .*--bad-images skip"):
        load(root, "segmentation")
    (root / "SegmentationClass" / "b.png").unlink()
    with pytest.raises(InputError, match=r"the mask \S*b.png is missing"):
        load(root, "segmentation")
    mask(root, "b", np.full((30, 40), 255))
    mask(root, "c", np.full((30, 40), 21))
    mask(root, "a", CLASSES[:20])
    unreadable = load(root, "segmentation").train.batch(torch.arange(3), None).unreadable
    said = ("another size than its image", "is empty: no pixel has a class", "the class 21, of 21")
    assert all(what in named for what, named in zip(said, unreadable, strict=True))


def test_another_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder \S*JPEGImages; pass one as VOC2012"):
        load(tmp_path)
    with pytest.raises(InputError, match=r"voc.*serves segmentation, detection, not keypoints"):
        load(tmp_path, "keypoints")


def test_voc_2012_in_the_folder_of_torchvisions_sets(tmp_path: Path) -> None:
    root = tmp_path / "VOCdevkit" / "VOC2012"
    root.mkdir(parents=True)
    segmentation(detection(root))
    options = {"usual_shape": USUAL, "root": tmp_path}
    assert len(sets.load("VOCDetection", task="detection", **options).train) == 3
    assert len(sets.load("VOCSegmentation", task="segmentation", **options).train) == 3
    with pytest.raises(InputError, match=r"VOCDetection is missing .*download=True.*--download"):
        sets.load("vocdetection", usual_shape=USUAL, root=tmp_path / "other", task="detection")
