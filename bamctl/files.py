"""Writing files so that a reader never sees half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bamctl.errors import InputError


def check_can_write(path: Path) -> None:
    """Refuse a path that cannot be written, before the work that would be lost.

    Raises:
        InputError: the folder does not exist or is read-only, or the path is a folder.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}; create it first")
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file in it")
    if _is_special(path):
        if not os.access(path, os.W_OK):
            raise InputError(f"cannot write {path}: it is read-only")
    elif not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}: the folder {folder} is read-only")


@contextmanager
def atomic_path(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """A temporary file in the same folder, renamed to `path` when the block ends well.

    A link stays one, and its target is replaced. What is no regular file, such as a pipe or
    `/dev/stdout`, is written to and not replaced. `mode` are its permissions, instead of those
    that it has or `open` would give it.

    Raises:
        InputError: the file cannot be written.
    """
    check_can_write(path)
    temporary = None
    try:
        path = path if _is_special(path) else path.resolve()
        folder = None if _is_special(path) else path.parent
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        if _is_special(path):
            path.write_bytes(temporary.read_bytes())
            return
        temporary.chmod(_mode(path) if mode is None else mode)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _mode(path: Path) -> int:
    """The permissions that the file has, or that `open` would give it; mkstemp gives fewer."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write a text file in one step, as UTF-8.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_path(path, mode=mode) as temporary:
        # A file name that is no UTF-8 may be part of the text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def make_run_folder(path: Path) -> None:
    """Make an empty folder, for what can be gone on with later.

    Raises:
        InputError: there is something already, or it cannot be made.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"{path} is there already; `--resume {path}` goes on with it, or name another"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror or error}") from error
