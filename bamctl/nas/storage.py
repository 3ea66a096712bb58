"""The database of a study, with retries while it is locked or unreachable."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError

from bamctl.errors import BamctlError, InputError, first_line
from bamctl.files.atomic import check_can_read
from bamctl.text import masking

# The grace period of heartbeats: later, a driver is considered dead and its trials are rerun.
BEAT_SECONDS, GRACE_SECONDS = 5, 30

_CONNECT_SECONDS = 10
_SQLITE = b"SQLite format 3\0"
_PATIENCE_SECONDS = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


Result = TypeVar("Result")


def open_storage(url: str) -> RDBStorage:
    """Connect to the database of a study, and create missing tables.

    Raises:
        InputError: the URL is invalid, or the database is damaged.
        BamctlError: nothing answers there, or its driver is not installed.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _check_file(url)
    try:
        if masking.url(url) == masking.HIDDEN:
            raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = RDBStorage(
                url,
                engine_kwargs={"connect_args": _connect_args(url), "pool_pre_ping": True},
                heartbeat_interval=BEAT_SECONDS,
                grace_period=GRACE_SECONDS,
            )
        if storage.engine.dialect.name == "sqlite":
            _write_ahead(storage)
        return storage
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        # A malformed URL, and so the reason, may contain a password anywhere.
        why = first_line(error) if isinstance(error, NoSuchModuleError) else "malformed"
        raise InputError(
            f"--storage {masking.url(url)} is not a database URL ({why}); write it like "
            "sqlite:///study.db or postgresql+psycopg://USER@HOST/DATABASE, with special "
            "characters of a password percent-encoded"
        ) from None
    except ImportError as error:
        raise BamctlError(
            f"no driver for {masking.url(url)} is installed: "
            f"{masking.without(first_line(error.__cause__ or error), url)}"
        ) from error
    except (DBAPIError, StorageInternalError, RuntimeError) as error:
        kind = InputError if _is_damaged(error) else BamctlError
        raise kind(
            f"cannot use the storage {masking.url(url)}: "
            f"{masking.without(first_line(error.__cause__ or error), url)}"
        ) from error


def _check_file(url: str) -> None:
    """Raise for an existing path that is not an SQLite database.

    Raises:
        InputError: it is a folder, a pipe, a device or another file, or its folder is missing.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # reported when it is opened
        return
    path = Path(parsed.database or "")
    if parsed.get_backend_name() != "sqlite" or path == Path():
        return
    if not path.absolute().parent.is_dir():
        raise InputError(f"cannot use the storage {path}: there is no folder {path.parent}")
    if not path.exists():
        return
    check_can_read(path)
    with path.open("rb") as file:
        start = file.read(len(_SQLITE))
    if start not in (b"", _SQLITE):
        raise InputError(f"{path} is not an SQLite database; choose another file")


def _is_damaged(error: Exception) -> bool:
    """Return whether a database is reachable but damaged."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    # A lock or an unreachable server is an OperationalError, a subclass of DatabaseError.
    return type(cause) is DatabaseError


def _write_ahead(storage: RDBStorage) -> None:
    """Enable write-ahead logging, without waiting for the disk at each commit of a trial.

    After a power failure the last commits may be missing, and their trials are rerun; the file is
    never damaged.
    """

    @event.listens_for(storage.engine, "connect")
    def _begin(connection: Any, record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()


def _connect_args(url: str) -> dict[str, Any]:
    kind = make_url(url).get_backend_name()
    return {"sqlite": {"timeout": 60}}.get(kind, {"connect_timeout": _CONNECT_SECONDS})


def patiently(call: Callable[[], Result]) -> Result:
    """Call a function of the storage, and retry while it is locked or unreachable.

    Raises:
        InputError: the database is damaged.
        BamctlError: it stayed unreachable for minutes.
    """
    waits_until = time.monotonic() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE
    while True:
        try:
            return call()
        except (StorageInternalError, DBAPIError) as error:
            why = first_line(error.__cause__ or error)
            if _is_damaged(error):
                raise InputError(f"the storage is damaged: {why}") from error
            if time.monotonic() > waits_until:
                raise BamctlError(f"the storage is still unavailable: {why}") from error
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
