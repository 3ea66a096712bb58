"""Folders of long runs, each locked by one program at a time."""

from pathlib import Path

from filelock import FileLock, Timeout

from bamctl.errors import InputError, blame
from bamctl.files.atomic import make_folder

_LOCK = ".lock"


def make(path: Path) -> FileLock:
    """Create the folder of a resumable run, and lock it.

    Of several programs that start at the same time, one gets the lock and the others fail: the
    folder is locked before it is known to be empty.

    Returns:
        The lock, which the caller releases.

    Raises:
        InputError: the folder exists and is not empty, is in use, or cannot be created.
        BamctlError: the disk is full or failing.
    """
    _check_free(path)
    make_folder(path)
    lock = hold(path)
    try:
        # Another program may have filled it since the first check.
        _check_free(path)
    except InputError:
        lock.release()
        raise
    return lock


def hold(path: Path) -> FileLock:
    """Lock an existing folder.

    Raises:
        InputError: it is in use, or cannot be written.
    """
    lock = FileLock(path / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(f"{path} is in use by another run; wait for it, or stop it") from None
    except OSError as error:
        raise blame(error, f"cannot use the folder {path}") from error
    return lock


def _check_free(path: Path) -> None:
    """Raise if the folder contains more than a lock file, which an interrupted start may leave."""
    if path.exists() and (not path.is_dir() or any(each.name != _LOCK for each in path.iterdir())):
        raise InputError(
            f"{path} already exists; resume it with `--resume {path}`, or choose another folder"
        )
