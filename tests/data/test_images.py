"""Augmentation: a function of the image and of a number, in memory and from files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bamctl.analysis.attend import open_image
from bamctl.data._files import Named, Opened
from bamctl.data.images import ArrayImages, Batch, FileImages, eight_bit
from bamctl.errors import InputError


def arrays(*, flips: bool = False) -> ArrayImages:
    pixels = torch.arange(4 * 16 * 16, dtype=torch.uint8).reshape(4, 1, 16, 16)
    return ArrayImages(pixels, torch.arange(4), flips)


def test_without_numbers_images_are_as_they_are() -> None:
    images = arrays()
    batch = images.batch(torch.tensor([2, 0]), None)
    assert torch.equal(batch.inputs, images.pixels[[2, 0]])
    assert batch.targets.tolist() == [2, 0]


def test_moved_images_are_cut_out_of_the_image_with_a_black_margin() -> None:
    """Of 16 pixels two of margin: five places each way, in mixed radix from the number."""
    images = arrays()
    padded = torch.nn.functional.pad(images.pixels, (2, 2, 2, 2))
    for down in range(5):
        for right in range(5):
            found = images.batch(torch.tensor([1]), torch.tensor([down + 5 * right])).inputs
            assert torch.equal(found[0], padded[1][:, down : down + 16, right : right + 16])


def test_mirrored_images() -> None:
    images = arrays(flips=True)
    centre = 2 + 5 * 2
    straight = images.batch(torch.tensor([3]), torch.tensor([centre])).inputs
    mirrored = images.batch(torch.tensor([3]), torch.tensor([centre + 25])).inputs
    assert torch.equal(straight, images.pixels[3:])
    assert torch.equal(mirrored, images.pixels[3:].flip(3))


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    images = arrays(flips=True)
    draws = torch.randint(2**62, (4,))
    together = images.batch(torch.arange(4), draws).inputs
    for row in range(4):
        alone = images.batch(torch.tensor([row]), draws[row : row + 1]).inputs
        assert torch.equal(alone[0], together[row])


def photographs(*sizes: tuple[int, int]) -> FileImages:
    def read(index: int) -> Image.Image:
        if sizes[index] == (0, 0):
            raise OSError("cut off")
        return Image.effect_noise(sizes[index], 50)

    noise = [read(i) if size != (0, 0) else None for i, size in enumerate(sizes)]

    def kept(index: int) -> Image.Image:
        return noise[index] or read(index)

    indices = tuple(range(len(sizes)))
    return FileImages(kept, str, indices, torch.tensor(indices), 3, (24, 20))


def test_files_of_any_size_come_at_the_networks() -> None:
    images = photographs((40, 30), (100, 20))
    for draws in (None, torch.tensor([5, 6])):
        batch = images.batch(torch.arange(2), draws)
        assert batch.inputs.shape == (2, 3, 24, 20)
        assert batch.inputs.dtype == torch.uint8


def test_cutting_out_follows_the_number_and_leaves_the_random_state() -> None:
    images = photographs((60, 60))
    before = torch.get_rng_state()
    one, same, other = (
        images.batch(torch.tensor([0]), torch.tensor([draw])).inputs for draw in (5, 5, 6)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_read_is_named_and_left_out() -> None:
    batch = photographs((30, 30), (0, 0), (30, 30)).batch(torch.arange(3), None)
    assert batch.targets.tolist() == [0, 2]
    assert len(batch.inputs) == 2
    assert batch.unreadable == ("1",)


def test_a_subset_keeps_labels_with_images() -> None:
    for images in (arrays(), photographs((30, 30), (30, 30), (30, 30), (30, 30))):
        part = images.subset([3, 1])
        assert part.labels.tolist() == [3, 1]
        whole = images.batch(torch.tensor([3, 1]), None).inputs
        assert torch.equal(part.batch(torch.arange(2), None).inputs, whole)


# Black, a quarter, a half and white, by 8 bits: of 65,535 a 257th each, as 65535 / 255 = 257.
EIGHT_BITS = [0, 64, 128, 255]


def grey_files(folder: Path) -> dict[str, Path]:
    """One row of the same four greys, in files of every depth."""
    values = np.array([EIGHT_BITS], dtype=np.uint16)
    floats = (values / 255).astype(np.float32)
    Image.fromarray(values.astype(np.uint8)).save(folder / "8.png")
    Image.fromarray(values * 257).save(folder / "16.png")
    Image.fromarray(values * 257).save(folder / "16.tif")
    big = (values * 257).astype(">u2").tobytes()
    Image.frombytes("I;16B", (4, 1), big).save(folder / "16-big-endian.tif")
    (folder / "16.pgm").write_bytes(b"P5\n4 1\n65535\n" + big)
    Image.fromarray(floats).save(folder / "float.tif")
    (folder / "float.pfm").write_bytes(b"Pf\n4 1\n-1.0\n" + floats.astype("<f4").tobytes())
    return {path.name: path for path in folder.iterdir()}


def one_file(path: Path, num_channels: int, extents: tuple[int, int]) -> Batch:
    opened, named = Opened([path]), Named([path])
    images = FileImages(opened, named, (0,), torch.tensor([0]), num_channels, extents)
    return images.batch(torch.tensor([0]), None)


GREY = ("8.png", "16.png", "16.tif", "16-big-endian.tif", "16.pgm", "float.tif", "float.pfm")


@pytest.mark.parametrize("name", GREY)
def test_grey_of_any_depth_is_scaled(name: str, tmp_path: Path) -> None:
    path = grey_files(tmp_path)[name]
    with Image.open(path) as opened:
        scaled = eight_bit(opened).convert("RGB")
    assert np.asarray(scaled)[0, :, 1].tolist() == EIGHT_BITS
    # Both ways into the program: training images, and images to look at.
    trained = one_file(path, 1, (1, 4))
    assert trained.unreadable == ()
    assert trained.inputs[0, 0, 0].tolist() == EIGHT_BITS
    assert open_image(path, (3, 1, 4)).original[0, :, 2].tolist() == EIGHT_BITS


@pytest.mark.parametrize("values", [np.array([[0, 255]], np.int32), np.array([[0, 2]], np.float32)])
def test_grey_without_a_known_white_is_refused(values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "depth.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(InputError, match=r"white level.*save it with 8 or 16 bits"):
        open_image(path, (3, 8, 8))
    (named,) = one_file(path, 3, (8, 8)).unreadable
    assert "white level" in named
