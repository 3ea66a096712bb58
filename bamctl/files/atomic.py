"""Checked reads of regular files, and atomic writes."""

import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bamctl.errors import BamctlError, InputError, blame, check_machine

_LONGEST = 150


def check_can_read(path: Path) -> None:
    """Raise unless a path is a regular file; opening a pipe could block forever.

    Raises:
        InputError: the path does not exist, or is a folder, a pipe or a device.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise blame(error, f"{path}: cannot be read") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise InputError(f"{path}: cannot be read: it is not a regular file, but {kind}")


def check_can_write(path: Path) -> None:
    """Raise if a path cannot be written, before work is done that would be lost.

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
    """Yield a temporary file in the same folder, renamed to `path` when the block succeeds.

    A symbolic link is kept, and its target replaced. A path that is no regular file, such as a pipe
    or `/dev/stdout`, is written to and not replaced.

    Args:
        path: the file to write.
        mode: its permissions; those of the existing file, or the umask's default, if left out.
        is_new: raise if the file exists, even if it was created meanwhile.

    Raises:
        InputError: the file cannot be written.
        BamctlError: the disk is full or failing, or there is too little memory; an existing file
            is kept.
    """
    check_can_write(path)
    temporary = None
    try:
        target = path if _is_special(path) else path.resolve()
        folder = None if _is_special(target) else target.parent
        # Not named after the path, whose name may already be as long as the file system allows.
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
        # BrokenPipeError: the reader of /dev/stdout has gone.
        raise
    except Exception as error:
        # Libraries that write files report a full disk by custom exceptions.
        kept = f"; {path} is unchanged" if path.is_file() else ""
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
    """Return the file's permissions, or those that `open` would give it; mkstemp's are narrower."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def write_text(path: Path, text: str, *, mode: int | None = None, is_new: bool = False) -> None:
    """Write a text file atomically, as UTF-8; `atomic_path` describes the arguments.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_path(path, mode=mode, is_new=is_new) as temporary:
        # The text may include file names that are not valid UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically, and create its folder if it does not exist.

    Raises:
        InputError: the folder or the file cannot be written.
    """
    make_folder(path.parent)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def append_bytes(path: Path, content: bytes) -> None:
    """Append to a file, and flush it to the disk; where that fails, the file is as before.

    Raises:
        OSError: it cannot be written.
    """
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            os.truncate(path, size)
        raise


def make_folder(path: Path) -> None:
    """Create a folder and its parents, unless they exist.

    Raises:
        InputError: it cannot be created.
        BamctlError: the disk is full or failing.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise blame(error, f"cannot make the folder {path}") from error


def short_name(name: str) -> str:
    """Shorten a name so that a suffix still fits in a file name of at most 255 bytes.

    >>> short_name("layer1"), len(short_name("a" * 300))
    ('layer1', 159)
    """
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= _LONGEST:
        return name
    start = encoded[:_LONGEST].decode("utf-8", "ignore")
    return f"{start}-{zlib.crc32(encoded):08x}"
