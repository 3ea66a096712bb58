"""Reading regular files, and writing files so that a reader never sees half of one."""

import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bamctl.errors import BamctlError, InputError, blame, check_machine

_LONGEST = 150


def check_can_read(path: Path) -> None:
    """Refuse what is no regular file: opening a pipe waits for a writer that may never come.

    Raises:
        InputError: there is no such file, or it is a folder, a pipe or a device.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise blame(error, f"{path}: cannot be read") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise InputError(f"{path}: cannot be read: it is no regular file, but {kind}")


def check_can_write(path: Path) -> None:
    """Refuse a path that cannot be written, before the work that would be lost.

    Raises:
        InputError: the folder does not exist or is read-only, the path is a folder, or the name
            is too long.
    """
    try:
        _check_can_write(path)
    except OSError as error:
        raise blame(error, f"cannot write {path}") from error


def _check_can_write(path: Path) -> None:
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
def atomic_path(path: Path, *, mode: int | None = None, is_new: bool = False) -> Iterator[Path]:
    """A temporary file in the same folder, renamed to `path` when the block ends well.

    A link stays one, and its target is replaced. What is no regular file, such as a pipe or
    `/dev/stdout`, is written to and not replaced. `mode` are its permissions, instead of those
    that it has or `open` would give it. With `is_new`, what is there already is not replaced, also
    if it came there meanwhile.

    Raises:
        InputError: the file cannot be written.
        BamctlError: the disk is full or failing, or there is too little memory; what was at `path`
            is kept.
    """
    check_can_write(path)
    temporary = None
    try:
        target = path if _is_special(path) else path.resolve()
        folder = None if _is_special(target) else target.parent
        # Not named after the path, whose name may be as long as the file system allows.
        handle, name = tempfile.mkstemp(prefix=".bamctl-", dir=folder)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        if _is_special(target):
            target.write_bytes(temporary.read_bytes())
            return
        temporary.chmod(_mode(target) if mode is None else mode)
        if is_new:
            target.touch(exist_ok=False)
        temporary.replace(target)
    except (BamctlError, BrokenPipeError):
        # Nobody reads what is written to /dev/stdout any more.
        raise
    except Exception as error:
        # Libraries that write files report a full disk by errors of their own.
        kept = f"; {path} is as it was" if path.is_file() else ""
        check_machine(error, f"cannot write {path}", kept)
        if isinstance(error, OSError):
            raise blame(error, f"cannot write {path}") from error
        raise
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


def write_text(path: Path, text: str, *, mode: int | None = None, is_new: bool = False) -> None:
    """Write a text file in one step, as UTF-8.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_path(path, mode=mode, is_new=is_new) as temporary:
        # A file name that is no UTF-8 may be part of the text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def make_folder(path: Path) -> None:
    """Make a folder, and those around it, where they are not there yet.

    Raises:
        InputError: it cannot be made.
        BamctlError: the disk is full or failing.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise blame(error, f"cannot make the folder {path}") from error


def short_name(name: str) -> str:
    """A name that leaves room for an ending in a file name, which may have 255 bytes.

    >>> short_name("layer1"), len(short_name("a" * 300))
    ('layer1', 159)
    """
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= _LONGEST:
        return name
    start = encoded[:_LONGEST].decode("utf-8", "ignore")
    return f"{start}-{zlib.crc32(encoded):08x}"
