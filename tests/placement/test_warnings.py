"""Warnings of modules on maps that are too small for them, and their advice, followed."""

import pytest

import bamctl
from bamctl.training.warnings import accuracy_warnings

INPUT = "3x32x32"


def warned(**options: object) -> tuple[str, ...]:
    return bamctl.analyze("resnet18", input_shape=INPUT, **options).warnings


def test_dilations_that_reach_only_padding_are_said_with_what_helps() -> None:
    """At 32x32 the stages of resnet18 have maps of 8, 4, 2 and 1 pixels; d=4 reaches in one."""
    four, two, one = warned()
    assert four.startswith("At layer2, layer2.0: on maps of 4x4 ")
    assert "--dilation 2 each pixel sees others" in four
    assert "--stem small" in four
    assert two.startswith("At layer3, layer3.0: on maps of 2x2 ")
    assert "--dilation 1 each pixel sees others" in two
    assert "--stem small" in two
    # With a small stem it is 4x4, which is not enough, and no dilation reaches out of one pixel.
    assert one.startswith("At layer4.0, layer4: on maps of 1x1 ")
    assert "--dilation" not in one
    assert "--stem small" not in one


def test_the_advice_holds() -> None:
    assert [text.split(":")[0] for text in warned(stem="small")] == ["At layer4.0, layer4"]
    smaller = warned(attention={"dilation": 2})
    assert not [text for text in smaller if "layer2" in text]
    assert not [text for text in warned(attention={"dilation": 1}) if "layer3" in text]


def test_nothing_is_said_of_what_has_no_dilated_convolutions() -> None:
    assert warned(attention={"branches": "channel"}) == ()
    assert bamctl.analyze("resnet18").warnings == ()


@pytest.mark.parametrize(("accuracy", "is_warned"), [(0.10, True), (0.14, True), (0.17, False)])
def test_accuracies_at_chance(accuracy: float, *, is_warned: bool) -> None:
    """Of 359 images and ten classes, 35.9 are right by guessing, and 53 of ten runs in one of 20.

    By scipy's binomial distribution: P(X > 52) = 0.0037, P(X > 54) = 0.0013; 0.14 are 50.3 images
    and 0.17 are 61.
    """
    found = accuracy_warnings([0.1] * 9 + [accuracy], 1 / 10, 359)
    assert bool(found) == is_warned


def test_accuracies_at_the_ceiling() -> None:
    assert "at the ceiling" in accuracy_warnings([1.0, 0.99], 1 / 10, 359)[0]
    assert accuracy_warnings([1.0, 0.98], 1 / 10, 359) == []
