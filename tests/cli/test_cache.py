"""Analyses that are read from the cache, through the real console script."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

COMMAND = ("analyze", "squeezenet1_1", "--input", "3x64x64", "--format", "json")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def entries(home: dict[str, str]) -> list[Path]:
    return sorted(Path(home["XDG_CACHE_HOME"]).rglob("*.json"))


def test_a_second_analysis_is_read_and_no_torch_imported(
    bamctl: object, script: object, home: dict[str, str]
) -> None:
    first = bamctl(*COMMAND, env=home)
    assert first.returncode == 0
    (entry,) = entries(home)
    # A torch that cannot be imported is missed by nobody.
    fake = entry.parent / "torch.py"
    fake.write_text("raise ImportError('torch was imported')\n")
    again = script(*COMMAND, env={**home, "PYTHONPATH": path_with(entry.parent)})
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")
    anew = script(*COMMAND, "--no-cache", env={**home, "PYTHONPATH": path_with(entry.parent)})
    assert anew.returncode != 0


def path_with(folder: Path) -> str:
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_other_options_are_another_entry(bamctl: object, home: dict[str, str]) -> None:
    tables = [
        bamctl(*COMMAND[:-1], "table", *more, env=home).stdout for more in ([], ["--explain"])
    ]
    assert tables[0] != tables[1]
    assert len(entries(home)) == 2
    assert bamctl(*COMMAND[:-1], "table", env=home).stdout == tables[0]


@pytest.mark.parametrize("damage", ["cut", "changed", "other key", "no JSON"])
def test_a_damaged_entry_is_made_anew(bamctl: object, home: dict[str, str], damage: str) -> None:
    first = bamctl(*COMMAND, env=home)
    (entry,) = entries(home)
    whole = entry.read_text()
    found = json.loads(whole)
    damaged = {
        "cut": whole[: len(whole) // 2],
        "changed": json.dumps({**found, "report": found["report"].replace("64", "65")}),
        "other key": json.dumps({**found, "key": found["key"].replace("64", "65")}),
        "no JSON": "\0",
    }
    entry.write_text(damaged[damage])
    again = bamctl(*COMMAND, env=home)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert json.loads(entry.read_text()) == found


def test_a_cache_that_cannot_be_written_is_done_without(
    bamctl: object, tmp_path: Path, home: dict[str, str]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert bamctl(*COMMAND, env=home).returncode == 0


def test_several_at_once(bamctl: object, home: dict[str, str]) -> None:
    with ThreadPoolExecutor() as threads:
        started = [threads.submit(bamctl, *COMMAND, env=home) for _ in range(3)]
        results = [each.result() for each in started]
    assert [each.returncode for each in results] == [0, 0, 0]
    assert {each.stdout for each in results} == {bamctl(*COMMAND, env=home).stdout}
    (entry,) = entries(home)
    # Nothing is left of how it was written.
    assert list(entry.parent.iterdir()) == [entry]


def test_what_a_crashed_process_has_left_is_not_read(bamctl: object, home: dict[str, str]) -> None:
    first = bamctl(*COMMAND, env=home)
    (entry,) = entries(home)
    whole = entry.read_bytes()
    entry.unlink()
    entry.with_name(f".{entry.name}.half").write_bytes(whole[: len(whole) // 2])
    again = bamctl(*COMMAND, env=home)
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, first.stderr)
    assert entry.read_bytes() == whole


def test_networks_of_one_s_own_are_not_kept(
    bamctl: object, tmp_path: Path, home: dict[str, str]
) -> None:
    text = "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d(3, {}, 3))\n"
    for channels in (4, 5):
        (tmp_path / "mine.py").write_text(text.format(channels))
        found = json.loads(bamctl("analyze", "mine:make", "--format", "json", env=home).stdout)
        assert found["params"] == channels * 28
    assert entries(home) == []
