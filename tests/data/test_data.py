"""Data sets by name: digits, Debian's Fashion-MNIST, torchvision's, and folders."""

import gzip
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from bamctl.data import _debian as debian
from bamctl.data import _torchvision_sets as torchvision_sets
from bamctl.data import sets as data
from bamctl.errors import InputError

USUAL = (3, 64, 64)


def folder(root: Path, split: str, classes: dict[str, int]) -> Path:
    for label, (name, count) in enumerate(classes.items()):
        place = root / split / name
        place.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (40, 30), (80 * label, 10 * number, 0)).save(place / f"{number}.png")
    return root


def test_digits_are_those_of_scikit_learn() -> None:
    found = data.load("digits", usual_shape=USUAL)
    assert len(found.train) + len(found.held_out) == 1797
    assert found.input_shape == (3, 32, 32)
    assert found.classes == tuple("0123456789")
    assert found.test is None


def test_the_held_out_split_is_a_fifth_of_each_class_and_always_the_same() -> None:
    one, two = (data.load("digits", usual_shape=USUAL) for _ in range(2))
    assert torch.equal(one.held_out.pixels, two.held_out.pixels)
    total = torch.bincount(torch.cat([one.train.labels, one.held_out.labels]))
    held = torch.bincount(one.held_out.labels)
    assert ((held - total / 5).abs() <= 1).all()


def test_no_image_is_in_both_splits() -> None:
    found = data.load("digits", usual_shape=USUAL, input_shape=(1, 8, 8))
    train = {bytes(image.numpy()) for image in found.train.pixels}
    both = sum(bytes(image.numpy()) in train for image in found.held_out.pixels)
    assert both == 0


def test_normalized_images_have_mean_0_and_variance_1() -> None:
    found = data.load("digits", usual_shape=USUAL)
    values = found.normalized(found.train.pixels)
    assert values.shape[1:] == (3, 32, 32)
    assert values.mean().item() == pytest.approx(0, abs=0.02)
    assert values.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.skipif(not debian.FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_debian(tmp_path: Path) -> None:
    found = data.load("fashion-mnist", usual_shape=USUAL, root=tmp_path, with_test=True)
    assert [len(s.labels) for s in (found.train, found.held_out, found.test)] == [
        55000,
        5000,
        10000,
    ]
    assert found.classes[0] == "T-shirt/top"
    # Each class has 6,000 images to train on and 1,000 to test.
    assert torch.bincount(found.test.labels).tolist() == [1000] * 10
    assert torch.bincount(found.held_out.labels).tolist() == [500] * 10
    raw = gzip.decompress((debian.FOLDER / "t10k-images-idx3-ubyte.gz").read_bytes())
    native = data.load(
        "FashionMNIST", usual_shape=USUAL, input_shape=(1, 28, 28), root=tmp_path, with_test=True
    )
    assert native.test.pixels[0].numpy().tobytes() == raw[16 : 16 + 28 * 28]


def test_the_test_split_is_not_looked_at_unless_asked_for(tmp_path: Path) -> None:
    root = folder(folder(tmp_path, "train", {"a": 4, "b": 4}), "val", {"a": 2, "b": 2})
    (root / "test" / "a").mkdir(parents=True)
    found = data.load(f"folder:{root}", usual_shape=USUAL)
    assert found.test is None
    with pytest.raises(InputError, match="holds one class folder;"):
        data.load(f"folder:{root}", usual_shape=USUAL, with_test=True)


def cifar10(root: Path) -> None:
    """A small set in CIFAR-10's own format: five batches of 20 images and one to test."""
    place = root / "cifar-10-batches-py"
    place.mkdir(parents=True)
    drawn = np.random.default_rng(0)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        images = drawn.integers(0, 256, (20, 3072), dtype=np.uint8)
        (place / name).write_bytes(
            pickle.dumps({"data": images, "labels": [n % 10 for n in range(20)]})
        )
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))


def test_cifar10_as_torchvision_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)
    found = data.load("cifar10", usual_shape=USUAL, root=tmp_path, with_test=True)
    assert [len(s.labels) for s in (found.train, found.held_out, found.test)] == [80, 20, 20]
    theirs, label = torchvision.datasets.CIFAR10(tmp_path, train=False)[7]
    ours = found.test.batch(torch.tensor([7]), None)
    assert ours.inputs[0].permute(1, 2, 0).numpy().tobytes() == theirs.tobytes()
    assert ours.targets.item() == label
    assert found.train.flips


def test_every_named_set_is_torchvisions_and_has_the_arguments() -> None:
    for name, splits in torchvision_sets.SPLITS.items():
        parameters = inspect.signature(getattr(torchvision.datasets, name)).parameters
        for options in splits:
            assert set(options or {}) <= set(parameters), name


def test_folders_of_classes(tmp_path: Path) -> None:
    root = folder(folder(tmp_path, "train", {"cat": 3, "dog": 5}), "val", {"cat": 2, "dog": 1})
    found = data.load(f"folder:{root}", usual_shape=USUAL)
    assert found.classes == ("cat", "dog")
    assert found.train.labels.tolist() == [0] * 3 + [1] * 5
    assert found.held_out.labels.tolist() == [0, 0, 1]
    assert found.input_shape == USUAL
    assert found.held_out.batch(torch.arange(3), None).inputs.shape == (3, 3, 64, 64)


def test_a_folder_without_splits_gets_a_held_out_one(tmp_path: Path) -> None:
    folder(tmp_path, ".", {"cat": 10, "dog": 10})
    found = data.load(f"folder:{tmp_path}", usual_shape=USUAL)
    assert len(found.train) == 16
    assert found.held_out.labels.bincount().tolist() == [2, 2]


def test_an_empty_class_folder(tmp_path: Path) -> None:
    folder(tmp_path, "train", {"cat": 3, "dog": 0})
    with pytest.raises(InputError, match=r"train/dog contains no images"):
        data.load(f"folder:{tmp_path}", usual_shape=USUAL)


def test_a_corrupt_image_is_refused_or_skipped(tmp_path: Path) -> None:
    root = folder(folder(tmp_path, "train", {"cat": 3, "dog": 3}), "val", {"cat": 1, "dog": 1})
    (root / "train" / "cat" / "1.png").write_text("<html>not found</html>")
    with pytest.raises(InputError, match=r"train/cat/1.png.*--bad-images skip"):
        data.load(f"folder:{root}", usual_shape=USUAL)
    found = data.load(f"folder:{root}", usual_shape=USUAL, bad_images="skip")
    assert found.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert [Path(each).name for each in found.skipped] == ["1.png"]


def test_other_classes_in_the_validation_split(tmp_path: Path) -> None:
    root = folder(folder(tmp_path, "train", {"cat": 3, "dog": 3}), "val", {"cat": 1, "cow": 1})
    with pytest.raises(InputError, match="cow, dog"):
        data.load(f"folder:{root}", usual_shape=USUAL)


def test_labels_out_of_range() -> None:
    with pytest.raises(InputError, match=r"from 0 to 9.*--num-classes 10"):
        data.load("digits", usual_shape=USUAL, num_classes=5)


@pytest.mark.parametrize("name", ["cifar10", "mnist", "flowers102", "stl10"])
def test_a_set_that_is_not_there_names_the_command_that_fetches_it(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"python -c .*download=True.*--download"):
        data.load(name, usual_shape=USUAL, root=tmp_path)


def test_unknown_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'cifar100'"):
        data.load("cifar1000", usual_shape=USUAL)
    with pytest.raises(InputError, match="there is no folder"):
        data.load(f"folder:{tmp_path / 'nowhere'}", usual_shape=USUAL)


def test_colours_do_not_become_grey_in_silence(tmp_path: Path, monkeypatch: object) -> None:
    cifar10(tmp_path)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)
    with pytest.raises(InputError, match="3 channels, not 1"):
        data.load("cifar10", usual_shape=USUAL, input_shape=(1, 32, 32), root=tmp_path)


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    folder(tmp_path, "train", {"cat": 9, "dog": 1})
    with pytest.raises(InputError, match="every class needs at least two"):
        data.load(f"folder:{tmp_path}", usual_shape=USUAL)
