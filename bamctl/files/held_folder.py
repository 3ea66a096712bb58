"""Folders of long runs, each held by one program at a time, before anything is in it."""

from pathlib import Path

from filelock import FileLock, Timeout

from bamctl.errors import InputError, blame
from bamctl.files.atomic import make_folder

_LOCK = ".lock"


def make(path: Path) -> FileLock:
    """Make a folder for what can be gone on with later, and hold it.

    Of several programs that begin at the same time, one holds it and the others are refused: it is
    locked before it is known to be empty.

    Returns:
        The lock, to be released at the end.

    Raises:
        InputError: there is something already, it is in use, or it cannot be made.
        BamctlError: the disk is full or failing.
    """
    _check_free(path)
    make_folder(path)
    lock = hold(path)
    try:
        # What another program has made since the first look.
        _check_free(path)
    except InputError:
        lock.release()
        raise
    return lock


def hold(path: Path) -> FileLock:
    """Hold a folder that is there.

    Raises:
        InputError: it is in use, or cannot be written.
    """
    lock = FileLock(path / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(f"{path} is in use by another run; wait for it, or end it") from None
    except OSError as error:
        raise blame(error, f"cannot use the folder {path}") from error
    return lock


def _check_free(path: Path) -> None:
    """Refuse what holds more than a lock, which an interrupted start may have left."""
    if path.exists() and (not path.is_dir() or any(each.name != _LOCK for each in path.iterdir())):
        raise InputError(
            f"{path} is there already; `--resume {path}` goes on with it, or name another"
        )
