"""Which set serves which task, said before anything is read."""

from pathlib import Path
from typing import get_args

import pytest

from bamctl.data import sets
from bamctl.data._registry import LAYOUTS, SETS
from bamctl.data.task_names import TaskName
from bamctl.errors import InputError

USUAL = (3, 64, 64)


@pytest.mark.parametrize("task", get_args(TaskName))
def test_every_task_has_a_set_that_needs_no_download(task: TaskName) -> None:
    usual = (3, 8, 32, 32) if task == "video" else USUAL
    drawn = {"digits", "scenes", "moving-digits", "shifted"} & set(sets.names(task))
    assert len(drawn) == 1
    data = sets.load(drawn.pop(), usual_shape=usual, task=task)
    assert len(data.train) > len(data.held_out) > 0


def test_names_of_a_task() -> None:
    assert "scenes" in sets.names("keypoints")
    assert "digits" not in sets.names("keypoints")
    assert "digits" in sets.names("classification")
    assert "folder:PATH" in sets.names("classification")
    assert set(sets.names()) == {*SETS, *(f"{name}:PATH" for name in LAYOUTS)}


def test_a_set_that_does_not_serve_the_task_names_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        sets.load("digits", usual_shape=USUAL, task="optical-flow")
    message = str(refused.value)
    assert message.startswith("digits serves classification, not optical-flow; for optical-flow")
    assert "shifted" in message
    assert "\n" not in message
    # Before anything is read: the folder does not exist.
    with pytest.raises(InputError, match=r"serves classification, not detection; .*scenes"):
        sets.load(f"folder:{tmp_path / 'nowhere'}", usual_shape=USUAL, task="detection")
    with pytest.raises(InputError, match=r"serves classification, not video; .*moving-digits"):
        sets.load("CIFAR10", usual_shape=USUAL, root=tmp_path, task="video")


def test_the_form_of_an_input_is_that_of_the_task() -> None:
    with pytest.raises(InputError, match="channels, frames, height and width, not 3x32x32"):
        sets.load("moving-digits", usual_shape=(3, 32, 32), task="video")
    with pytest.raises(InputError, match="has channels, height and width, not 3x8x32x32"):
        sets.load("scenes", usual_shape=USUAL, input_shape=(3, 8, 32, 32), task="detection")
