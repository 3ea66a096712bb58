"""Warnings that spare wrong conclusions from a comparison."""

from collections.abc import Sequence

from scipy import stats

from bamctl.training.config import TrainingConfig
from bamctl.training.measure import ACCURACY, Measure
from bamctl.training.result import ArmResult

# With fewer wrong images than this there is little left to gain, and chance alone moves them.
_FEWEST_WRONG = 5
# A mean cross-entropy that leaves the training images nothing to teach.
_FITTED_LOSS = 0.01
_LEVEL = 0.05


def warnings(
    arms: Sequence[ArmResult],
    config: TrainingConfig,
    num_held_out: int | None,
    guess: float | None,
) -> tuple[str, ...]:
    """Return why a comparison could not show what it is asked for; empty if nothing says so.

    Args:
        arms: the results.
        config: the comparison.
        num_held_out: the number of held-out samples, or None if it is unknown.
        guess: the measure of an answer that does not depend on the input, or None.
    """
    values = [value for arm in arms for value in arm.values]
    found = [*map(_diverged, arms), _fitted(arms)]
    found += value_warnings(values, config.measure, guess, num_held_out)
    return tuple(text for text in found if text)


def _diverged(arm: ArmResult) -> str | None:
    if not arm.diverged:
        return None
    return (
        f"{arm.arm.name}: {arm.diverged} of {len(arm.values)} runs diverged, and count as "
        "guessing; try a smaller learning rate before comparing."
    )


def value_warnings(
    values: Sequence[float], measure: Measure, guess: float | None, samples: int | None
) -> list[str]:
    """Return why values can show nothing: all as good as guessing, or all at the ceiling.

    Args:
        values: the measure of all runs.
        measure: the measure.
        guess: the measure of an answer that does not depend on the input, or None.
        samples: the number of samples that each value is measured on, or None.
    """
    if guess is None or samples is None:
        return []
    if measure.name == ACCURACY:
        return accuracy_warnings(values, guess, samples)
    if max(map(measure.goodness, values)) > measure.goodness(guess):
        return []
    return [
        f"No run is better than the same answer to every input ({measure.text(guess)}): the values "
        "say nothing about attention. Train for more steps, or with another learning rate."
    ]


def accuracy_warnings(accuracies: Sequence[float], chance: float, images: int) -> list[str]:
    """Return why accuracies can show nothing: all at chance, or all at the ceiling.

    Args:
        accuracies: of all runs, fractions.
        chance: the accuracy of guessing.
        images: the number of images that each is measured on.
    """
    wrong = images * (1 - min(accuracies))
    # A one-sided binomial test of each run against guessing, at a level that they share.
    guessed = float(stats.binom.isf(_LEVEL / len(accuracies), images, chance)) / images
    if max(accuracies) <= guessed:
        return [
            f"No run is better than guessing ({100 * chance:.3g} %): the accuracies say nothing "
            "about attention. Train for more steps, or with another learning rate."
        ]
    if wrong < _FEWEST_WRONG:
        return [
            f"Every run is at the ceiling: at most {wrong:.0f} of {images} held-out images are "
            "wrong, so that there is nothing left to gain. Take a harder data set or fewer steps; "
            "the loss is the finer measure here."
        ]
    return []


def _fitted(arms: Sequence[ArmResult]) -> str | None:
    losses = [loss for arm in arms for loss in arm.train_loss]
    if not losses or any(loss is None or loss > _FITTED_LOSS for loss in losses):
        return None
    return (
        f"Every arm fits its training images (a training loss of {_FITTED_LOSS:g} or less): longer "
        "training will not tell arms apart."
    )
