"""Augmentation: a function of the image and of a number, in memory and from files."""

import torch
from PIL import Image

from bamctl.data.images import ArrayImages, FileImages


def arrays(*, flips: bool = False) -> ArrayImages:
    pixels = torch.arange(4 * 16 * 16, dtype=torch.uint8).reshape(4, 1, 16, 16)
    return ArrayImages(pixels, torch.arange(4), flips)


def test_without_numbers_images_are_as_they_are() -> None:
    images = arrays()
    batch = images.batch(torch.tensor([2, 0]), None)
    assert torch.equal(batch.pixels, images.pixels[[2, 0]])
    assert batch.labels.tolist() == [2, 0]


def test_moved_images_are_cut_out_of_the_image_with_a_black_margin() -> None:
    """Of 16 pixels two of margin: five places each way, in mixed radix from the number."""
    images = arrays()
    padded = torch.nn.functional.pad(images.pixels, (2, 2, 2, 2))
    for down in range(5):
        for right in range(5):
            found = images.batch(torch.tensor([1]), torch.tensor([down + 5 * right])).pixels
            assert torch.equal(found[0], padded[1][:, down : down + 16, right : right + 16])


def test_mirrored_images() -> None:
    images = arrays(flips=True)
    centre = 2 + 5 * 2
    straight = images.batch(torch.tensor([3]), torch.tensor([centre])).pixels
    mirrored = images.batch(torch.tensor([3]), torch.tensor([centre + 25])).pixels
    assert torch.equal(straight, images.pixels[3:])
    assert torch.equal(mirrored, images.pixels[3:].flip(3))


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    images = arrays(flips=True)
    draws = torch.randint(2**62, (4,))
    together = images.batch(torch.arange(4), draws).pixels
    for row in range(4):
        alone = images.batch(torch.tensor([row]), draws[row : row + 1]).pixels
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
        assert batch.pixels.shape == (2, 3, 24, 20)
        assert batch.pixels.dtype == torch.uint8


def test_cutting_out_follows_the_number_and_leaves_the_random_state() -> None:
    images = photographs((60, 60))
    before = torch.get_rng_state()
    one, same, other = (
        images.batch(torch.tensor([0]), torch.tensor([draw])).pixels for draw in (5, 5, 6)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_read_is_named_and_left_out() -> None:
    batch = photographs((30, 30), (0, 0), (30, 30)).batch(torch.arange(3), None)
    assert batch.labels.tolist() == [0, 2]
    assert len(batch.pixels) == 2
    assert batch.unreadable == ("1",)


def test_a_subset_keeps_labels_with_images() -> None:
    for images in (arrays(), photographs((30, 30), (30, 30), (30, 30), (30, 30))):
        part = images.subset([3, 1])
        assert part.labels.tolist() == [3, 1]
        whole = images.batch(torch.tensor([3, 1]), None).pixels
        assert torch.equal(part.batch(torch.arange(2), None).pixels, whole)
