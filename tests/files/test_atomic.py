"""Files are written whole or not at all."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from bamctl.errors import BamctlError, InputError
from bamctl.files.atomic import atomic_path, check_can_read, check_can_write, write_text


def test_write_and_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    write_text(path, "zwei ä")
    assert path.read_text(encoding="utf-8") == "zwei ä"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_came_there_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"

    def write() -> None:
        with atomic_path(path, is_new=True) as new:
            new.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(InputError, match="File exists"):
        write()
    assert path.read_text() == "theirs"
    assert [each.name for each in tmp_path.iterdir()] == ["new.txt"]
    write_text(tmp_path / "other.txt", "ours", is_new=True)
    assert (tmp_path / "other.txt").read_text() == "ours"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_full_disk_is_the_machines_fault(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(BamctlError, match=r"a\.txt: \w+") as error, atomic_path(path):
        raise OSError(number, os.strerror(number))
    assert error.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_what_a_full_disk_leaves(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(BamctlError, match=r"a\.txt is unchanged"), atomic_path(path) as temporary:
        # As safetensors reports it.
        raise RuntimeError(f"I/O error: {temporary.write_text('half')} (os error 28)")
    assert path.read_text() == "old"


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path: Path) -> None:
    longest = tmp_path / ("a" * 255)
    write_text(longest, "fits")
    assert longest.read_text() == "fits"
    with pytest.raises(InputError, match="File name too long"):
        check_can_write(tmp_path / ("a" * 256))


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.txt").touch()
    (tmp_path / "link").symlink_to("a.txt")
    for name in ("a.txt", "link"):
        check_can_read(tmp_path / name)
    for name, words in {
        "pipe": "not a regular file, but a pipe",
        ".": "not a regular file, but a folder",
        "none": "No such file",
        "a" * 256: "File name too long",
        "a\0b": "null",
    }.items():
        with pytest.raises(InputError, match=words):
            check_can_read(tmp_path / name)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        check_can_write(tmp_path / "none" / "a.txt")
    with pytest.raises(InputError, match="it is a folder"):
        check_can_write(tmp_path)


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked through access(), since the superuser may write in every folder.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(InputError, match="is read-only"):
        check_can_write(tmp_path / "a.txt")


def test_a_link_stays_and_its_target_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    write_text(target, "old")
    target.chmod(0o600)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True) as reader:
        write_text(pipe, "through")
        assert reader.communicate()[0] == "through"
    assert pipe.is_fifo()
