"""What was not said, in numbers."""

import pytest

from bamctl.data.sets import Data
from bamctl.errors import InputError
from bamctl.training.plan import usual_recipe as recipe


def test_the_usual_recipe(digits: Data) -> None:
    found = recipe({}, digits)
    assert (found.steps, found.batch_size, found.warmup_steps, found.eval_every) == (
        150,
        64,
        15,
        30,
    )
    # 0.1 for a batch of 256.
    assert found.lr == pytest.approx(0.025)
    assert recipe({}, digits, pretrained=True).lr == pytest.approx(0.0025)
    assert recipe({"batch_size": 512}, digits).lr == pytest.approx(0.2)


def test_epochs_are_whole_batches(digits: Data) -> None:
    """1,438 images are 22 batches of 64."""
    assert recipe({}, digits, epochs=3).steps == 66
    frozen = recipe({}, digits, epochs=3, freeze_backbone_epochs=2)
    assert frozen.freeze_backbone_steps == 44


def test_what_was_said_stays(digits: Data) -> None:
    found = recipe({"lr": 0.3, "eval_every": 7, "warmup_steps": 0}, digits, steps=20)
    assert (found.lr, found.eval_every, found.warmup_steps) == (0.3, 7, 0)


def test_a_backbone_that_never_moves(digits: Data) -> None:
    with pytest.raises(InputError, match="--epochs 4"):
        recipe({}, digits, epochs=2, freeze_backbone_epochs=2)
