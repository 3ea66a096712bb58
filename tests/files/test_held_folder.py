"""Folders of long runs: made by one program, whoever else begins at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from filelock import FileLock

from bamctl.errors import InputError
from bamctl.files import held_folder
from bamctl.nas import folder as search_folder
from bamctl.nas.config import SearchConfig
from bamctl.training import run_folder
from bamctl.training.config import TrainingConfig
from tests.conftest import assert_one_line_error
from tests.training.conftest import small

CREATE: dict[str, tuple[type, Callable[[Path], object]]] = {
    "training": (TrainingConfig, lambda path: run_folder.create(path, small())),
    "search": (
        SearchConfig,
        lambda path: search_folder.create(path, SearchConfig(training=small(), trials=1)),
    ),
}


def test_of_many_that_begin_at_once_one_makes_the_folder(tmp_path: Path) -> None:
    ready = Barrier(8)

    def begin(path: Path) -> FileLock | str:
        ready.wait()
        try:
            return held_folder.make(path)
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            made = list(pool.map(begin, [tmp_path / "runs" / str(number)] * 8))
            refused = [each for each in made if isinstance(each, str)]
            assert len(refused) == 7
            assert all("in use" in each for each in refused)


@pytest.mark.parametrize("kind", CREATE)
def test_it_is_held_before_anything_is_in_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, create = CREATE[kind]
    save = schema.save
    refused: list[str] = []

    def save_while_another_begins(config: object, path: Path) -> None:
        with pytest.raises(InputError, match="in use by another run") as error:
            create(path.parent)
        refused.append(str(error.value))
        save(config, path)

    monkeypatch.setattr(schema, "save", save_while_another_begins)
    folder = create(tmp_path / "run")
    assert len(refused) == 1
    folder.close()
    with pytest.raises(InputError, match=r"already exists; resume it with `--resume"):
        create(tmp_path / "run")


def test_nothing_is_left_in_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("theirs", "file"):
        with pytest.raises(InputError, match="already exists"):
            held_folder.make(tmp_path / name)
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["a.txt"]


def test_a_start_that_was_interrupted_is_in_nobodys_way(tmp_path: Path) -> None:
    held_folder.make(tmp_path / "run").release()
    held_folder.make(tmp_path / "run").release()


def test_the_second_command_is_refused_while_the_first_begins(
    bamctl: object, tmp_path: Path
) -> None:
    """The first has made its folder, and has written nothing yet."""
    lock = held_folder.make(tmp_path / "same")
    arguments = ["--steps", "1", "--seeds", "1", "--out", "same", "--input", "3x32x32"]
    result = bamctl("train", "resnet18", *arguments)
    lock.release()
    assert_one_line_error(result, "same is in use by another run")
