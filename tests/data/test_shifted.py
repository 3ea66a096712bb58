"""Pairs with known flow: the second image, taken back by the flow, is the first."""

import pytest
import torch

from bamctl.data import sets
from bamctl.data.images import Batch
from bamctl.data.sets import Data

USUAL = (3, 520, 960)


def pairs(**options: object) -> Data:
    return sets.load("shifted", usual_shape=USUAL, task="optical-flow", **options)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return pairs().held_out.batch(torch.arange(12), None)


def taken_back(batch: Batch) -> torch.Tensor:
    """The second image at x + flow, with PyTorch's own sampling, shape (N, C, H, W)."""
    count, _, _, height, width = batch.inputs.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y]) + batch.targets[:, :2]
    # Of grid_sample: -1 and 1 are the centres of the first and last pixel.
    scale = torch.tensor([width - 1, height - 1])[:, None, None]
    grid = (2 * places / scale - 1).permute(0, 2, 3, 1)
    assert grid.shape == (count, height, width, 2)
    return torch.nn.functional.grid_sample(
        batch.inputs[:, 1].float(), grid, padding_mode="border", align_corners=True
    )


def test_sizes_of_the_splits_and_the_form_of_a_batch(batch: Batch) -> None:
    data = pairs(with_test=True)
    assert [len(each) for each in (data.train, data.held_out, data.test)] == [1000, 64, 64]
    assert data.input_shape == (3, 128, 128)
    assert data.classes == ()
    assert (batch.inputs.shape, batch.inputs.dtype) == ((12, 2, 3, 128, 128), torch.uint8)
    assert (batch.targets.shape, batch.targets.dtype) == ((12, 3, 128, 128), torch.float32)


def test_the_flow_takes_the_second_image_back_to_the_first(batch: Batch) -> None:
    error = (taken_back(batch) - batch.inputs[:, 0].float()).abs().amax(1)
    known = batch.targets[:, 2].bool()
    # Steps of whole pixels: no more than the rounding of the coordinates in single precision.
    assert error[known].max() < 0.1
    # Where the pixel is hidden or has left the image, something else is seen.
    assert error[~known].mean() > 10


def test_most_pixels_are_known_and_every_pair_moves(batch: Batch) -> None:
    flow, known = batch.targets[:, :2], batch.targets[:, 2]
    assert set(known.unique().tolist()) == {0, 1}
    assert known.mean() > 0.8
    length = flow.norm(dim=1)
    # A sixteenth of 128 pixels for the background, and a twelfth more for the objects.
    assert flow.abs().max() <= 8 + 10
    assert length.mean() > 3
    assert len(flow[0].flatten(1).unique(dim=1).T) >= 3


def test_unmoved_images_differ(batch: Batch) -> None:
    first, second = batch.inputs[:, 0].float(), batch.inputs[:, 1].float()
    assert (first - second).abs().mean() > 10


def test_a_pair_is_a_function_of_number_and_draw() -> None:
    train = pairs().train
    one = train.batch(torch.tensor([3, 4]), torch.tensor([8, 9]))
    alone = train.batch(torch.tensor([4]), torch.tensor([9]))
    other = train.batch(torch.tensor([4]), torch.tensor([10]))
    assert torch.equal(one.inputs[1:], alone.inputs)
    assert torch.equal(one.targets[1:], alone.targets)
    assert not torch.equal(one.inputs[1:], other.inputs)


def test_other_extents_and_grey() -> None:
    batch = pairs(input_shape=(1, 64, 96)).train.batch(torch.arange(2), None)
    assert batch.inputs.shape == (2, 2, 1, 64, 96)
    error = (taken_back(batch) - batch.inputs[:, 0].float()).abs().amax(1)
    assert error[batch.targets[:, 2].bool()].max() < 0.1
