"""The order of images: every one once in an epoch, whoever reads it and from where on."""

from collections import Counter

import torch

from bamctl.data.images import ArrayImages
from bamctl.training._loader import Order, evaluation_batches, training_batches


def images(count: int) -> ArrayImages:
    return ArrayImages(torch.zeros(count, 1, 8, 8, dtype=torch.uint8), torch.arange(count))


def seen(
    steps: range, *, parts: int = 1, share: range = range(1), seed: int = 0
) -> list[list[int]]:
    order = Order(50, 12, seed)
    batches = training_batches(images(50), order, steps, parts=parts, share=share, workers=0)
    return [[label for part in batch for label in part.targets.tolist()] for batch in batches]


def test_an_epoch_has_every_image_once_but_for_the_rest() -> None:
    counts = Counter(label for batch in seen(range(4)) for label in batch)
    assert len(counts) == 48
    assert set(counts.values()) == {1}


def test_epochs_and_seeds_differ() -> None:
    whole = seen(range(8))
    assert whole[:4] != whole[4:]
    assert whole != seen(range(8), seed=1)


def test_it_goes_on_where_it_stopped() -> None:
    assert seen(range(3, 9)) == seen(range(9))[3:]


def test_processes_and_parts_share_a_batch() -> None:
    whole = seen(range(5))
    shares = [seen(range(5), parts=6, share=range(rank, 6, 2)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert sorted(shares[0][step] + shares[1][step]) == sorted(batch)


def test_reading_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    seen(range(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_has_every_image_once() -> None:
    found = [
        label
        for rank in range(3)
        for batch in evaluation_batches(images(50), 8, rank=rank, processes=3, workers=0)
        for label in batch.targets.tolist()
    ]
    assert sorted(found) == list(range(50))
