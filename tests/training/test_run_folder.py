"""The files of a comparison: each line once, each state whole or known to be damaged."""

import json
import os
from pathlib import Path

import pytest
import torch

from bamctl.errors import InputError
from bamctl.training import _state as state
from bamctl.training._state import DamagedStateError, State
from bamctl.training.run_folder import JsonLines, RunFolder, check_names, create, read_config
from tests.training.conftest import small

LINE = {"arm": "a", "seed": 0, "step": 1, "accuracy": 0.5}


def test_a_line_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    for _ in range(2):
        lines = JsonLines(path, ("arm", "seed", "step"))
        lines.append(LINE)
        lines.append({**LINE, "step": 2})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_half_a_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + '{"arm": "a", "se')
    reader = JsonLines(path, ("arm", "seed", "step"), is_writer=False)
    assert len(reader.lines) == 1
    assert path.read_text().endswith('"se')
    JsonLines(path, ("arm", "seed", "step")).append({**LINE, "step": 2})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize("text", ["nonsense\n", '{"arm": 1}\n', "[]\n", "3\n"])
def test_a_line_of_somebody_else(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + text)
    with pytest.raises(InputError, match=r"m\.jsonl:2"):
        JsonLines(path, ("arm", "seed", "step"))


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    tensors = {
        "w": torch.randn(3, 4).to(memory_format=torch.contiguous_format).t(),
        "count": torch.tensor(7),
        "half": torch.randn(5).bfloat16(),
        "none": torch.empty(0),
    }
    state.write(path, State(tensors, {"step": 3, "seconds": [0.1]}))
    found = state.read(path)
    assert found.values == {"step": 3, "seconds": [0.1]}
    assert all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("position", [0, 9, 300, -1])
def test_a_state_with_one_changed_byte_is_known(position: int, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    state.write(path, State({"w": torch.randn(100)}, {"step": 3}))
    content = bytearray(path.read_bytes())
    content[position] ^= 8
    path.write_bytes(content)
    with pytest.raises(DamagedStateError, match="is damaged"):
        state.read(path)


def test_the_configuration_comes_back(tmp_path: Path) -> None:
    config = small(control=True, args={"width": 4})
    create(tmp_path / "run", config)
    assert read_config(tmp_path / "run") == config


def test_two_states_are_kept(tmp_path: Path) -> None:
    create(tmp_path / "run", small())
    folder = RunFolder(tmp_path / "run")
    for step in (5, 10, 100):
        folder.save_state("a:b", 0, step, lambda step=step: State({}, {"step": step}))
    assert [state.read(path).values["step"] for path in folder.states("a:b", 0)] == [100, 10]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.yaml"):
        read_config(tmp_path)


def test_arms_whose_files_would_be_the_same(tmp_path: Path) -> None:
    check_names(["baseline", "a", "a:wider", "a:extra-block"])
    with pytest.raises(InputError, match="'a\\*' and 'a\\?' would share the file name a_"):
        check_names(["baseline", "a*", "a?"])


def test_the_longest_names_of_arms_have_files(tmp_path: Path) -> None:
    create(tmp_path / "run", small())
    folder = RunFolder(tmp_path / "run")
    # Both would be cut to the same start.
    for arm in ("a" * 255, "a" * 254 + "b", "ä" * 127):
        folder.save_state(arm, 0, 1, lambda: State({}, {"step": 1}))
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 3


def test_a_pipe_in_place_of_lines_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.jsonl")
    with pytest.raises(InputError, match=r"m\.jsonl: cannot be read: it is not a regular file"):
        JsonLines(tmp_path / "m.jsonl", ("arm", "seed", "step"))
