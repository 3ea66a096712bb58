"""Clips of moving digits: the order of the frames is the class, and nothing else tells it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier

from bamctl.data import sets
from bamctl.data._moving_digits import CLASSES, _order
from bamctl.data.sets import Data
from bamctl.errors import InputError

USUAL = (3, 16, 112, 112)


def clips(**options: object) -> Data:
    return sets.load("moving-digits", usual_shape=USUAL, task="video", **options)


@pytest.fixture(scope="module")
def splits() -> list[tuple[np.ndarray, np.ndarray]]:
    """Grey clips with shape (N, T, H, W), and labels, to train on and held out."""
    data = clips(input_shape=(1, 8, 32, 32))
    batches = [each.batch(torch.arange(len(each)), None) for each in (data.train, data.held_out)]
    return [(each.inputs[:, 0].numpy(), each.targets.numpy()) for each in batches]


def test_sizes_of_the_splits_and_the_form_of_a_batch() -> None:
    data = clips(with_test=True)
    every = (data.train, data.held_out, data.test)
    assert [len(each) for each in every] == [1200, 240, 240]
    # Six classes, equally often.
    assert [torch.bincount(each.labels).tolist() for each in every] == [
        [200] * 6,
        [40] * 6,
        [40] * 6,
    ]
    assert data.input_shape == (3, 8, 32, 32)
    batch = data.train.batch(torch.tensor([0, 7]), torch.tensor([1, 2]))
    assert (batch.inputs.shape, batch.inputs.dtype) == ((2, 3, 8, 32, 32), torch.uint8)
    # Augmentation draws another clip of the same class.
    assert batch.targets.tolist() == data.train.labels[[0, 7]].tolist() == [0, 1]


def test_normalized_clips() -> None:
    data = clips()
    clip = data.train.batch(torch.arange(2), None).inputs
    values = data.normalized(clip)
    assert values.shape == (2, 3, 8, 32, 32)
    # ImageNet's green: mean 0.456 and standard deviation 0.224 of white.
    expected = (clip[1, 1, 4, 5, 6].item() / 255 - 0.456) / 0.224
    assert values[1, 1, 4, 5, 6].item() == pytest.approx(expected, abs=1e-5)


def test_the_orders_by_hand() -> None:
    assert _order("right", 8) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert _order("left", 8) == [0, 7, 6, 5, 4, 3, 2, 1]
    assert _order("right-and-back", 8) == [0, 2, 4, 6, 7, 5, 3, 1]
    assert _order("left-and-back", 8) == [0, 6, 4, 2, 1, 3, 5, 7]
    assert _order("hopping-right", 8) == [0, 4, 1, 5, 2, 6, 3, 7]
    assert _order("hopping-left", 8) == [0, 4, 7, 3, 6, 2, 5, 1]


@pytest.mark.parametrize("frames", [5, 6, 7, 8, 16])
def test_classes_are_different_orders_of_the_same_places(frames: int) -> None:
    orders = {tuple(_order(name, frames)) for name in CLASSES}
    assert len(orders) == 6
    assert all(sorted(order) == list(range(frames)) for order in orders)


def test_digits_move_as_the_class_says(splits: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """The step to the second frame, of 32 pixels an eighth each, found by rolling the frame."""
    pixels, labels = splits[1]
    steps = {"right": 4, "left": -4, "right-and-back": 8, "left-and-back": -8}
    right = total = 0
    for clip, label in zip(pixels.astype(float), labels, strict=True):
        if CLASSES[label] in steps:
            # The digit is at another place in every frame, so the median is the background.
            digit = np.abs(clip - np.median(clip, 0))
            match = [(np.roll(digit[0], by, 1) * digit[1]).sum() for by in range(-16, 16)]
            right += int(np.argmax(match)) - 16 == steps[CLASSES[label]]
            total += 1
    assert total == 160
    assert right > 0.9 * total


def accuracy(splits: list[tuple[np.ndarray, np.ndarray]], features: list[np.ndarray]) -> float:
    model = RidgeClassifier(alpha=1.0)
    model.fit(features[0] / 255, splits[0][1])
    score = float(model.score(features[1] / 255, splits[1][1]))
    print(score)
    return score


# Chance is a sixth of 240 clips: the standard deviation is sqrt(1/6 * 5/6 / 240) = 0.024, and
# three of them above it are 0.239.
CHANCE = 1 / 6 + 3 * 0.024


@pytest.mark.parametrize("frame", [0, 4])
def test_one_frame_tells_nothing(splits: list[tuple[np.ndarray, np.ndarray]], frame: int) -> None:
    small = [each[:, frame, ::2, ::2].reshape(len(each), -1) for each, _ in splits]
    assert accuracy(splits, small) < CHANCE


def test_frames_without_their_order_tell_nothing(
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """The mean, and each pixel's values sorted over time."""
    mean = [each.mean(1)[:, ::2, ::2].reshape(len(each), -1) for each, _ in splits]
    ordered = [np.sort(each, 1)[:, ::2, ::4, ::4].reshape(len(each), -1) for each, _ in splits]
    assert accuracy(splits, mean) < CHANCE
    assert accuracy(splits, ordered) < CHANCE


def test_the_order_of_the_frames_tells_the_class(
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """The control: the same classifier on how well neighbouring frames match, at each step."""
    features = []
    for pixels, _ in splits:
        digits = np.abs(pixels - np.median(pixels, 1, keepdims=True)).sum(2)
        spectra = np.fft.rfft(digits, axis=2)
        match = np.fft.irfft(spectra[:, :-1].conj() * spectra[:, 1:], axis=2)
        features.append(255 * (match / match.max(2, keepdims=True)).reshape(len(pixels), -1))
    assert accuracy(splits, features) > 0.8


def test_what_clips_cannot_be() -> None:
    with pytest.raises(InputError, match="5 frames or more, not 4"):
        clips(input_shape=(3, 4, 32, 32))
    with pytest.raises(InputError, match="1 or 3 channels, not 2"):
        clips(input_shape=(2, 8, 32, 32))
    odd = clips(input_shape=(3, 7, 24, 40)).train.batch(torch.arange(6), None)
    assert odd.inputs.shape == (6, 3, 7, 24, 40)
