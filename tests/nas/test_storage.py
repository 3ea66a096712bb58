"""A study in a real PostgreSQL, which two drivers share, and which is restarted meanwhile."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import DatabaseError, OperationalError

from bamctl.errors import BamctlError, InputError
from bamctl.nas import storage
from tests.engines.test_cluster import free_port
from tests.nas.table import Searched
from tests.nas.test_run import count, driver, results, wait_for

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

DRIVER = """
import sys
from tests.nas.table import Quiet, Scratch, Searched, Table
from bamctl.engines.engine import LocalEngine
from bamctl.nas.run import Search
if __name__ == "__main__":
    searched = Searched(changes={"trials": 30})
    study = searched.study(sys.argv[1], alone=False)
    engine = LocalEngine(Table(seconds=0.4), 2)
    Search(searched.config, searched.space, study, engine, Quiet(), Scratch()).run()
    engine.close()
"""


@dataclass
class Server:
    """PostgreSQL in a folder of its own, for nobody but this machine."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://bamctl@127.0.0.1:{self.port}/postgres"

    def initialize(self) -> None:
        command = [
            BINARIES[-1] / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "bamctl",
            "-A",
            "trust",
        ]
        subprocess.run(command, check=True, capture_output=True, user=_user())

    def start(self) -> None:
        options = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-k", self.folder]
        command = [BINARIES[-1] / "postgres", "-D", self.folder / "data", *options]
        self.process = subprocess.Popen(
            command, user=_user(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ready = [BINARIES[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0)

    def stop(self) -> None:
        if self.process is not None:
            # At once, with what is open rolled back.
            self.process.send_signal(signal.SIGINT)
            self.process.wait()


def _user() -> str | None:
    """It refuses to run as root; Debian's package has made a user for it."""
    return "postgres" if os.getuid() == 0 else None


@pytest.fixture
def server() -> Iterator[Server]:
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    folder = Path(tempfile.mkdtemp(prefix="bamctl-"))
    if user := _user():
        shutil.chown(folder, user)
    found = Server(folder, free_port())
    try:
        found.initialize()
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder)


def test_two_drivers_and_a_restart(server: Server, tmp_path: Path) -> None:
    searched = Searched(changes={"trials": 30})
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    drivers = [driver(DRIVER, folder, server.url) for folder in folders]
    watched = searched.study(server.url, alone=False)
    wait_for(lambda: count(watched, TrialState.COMPLETE) >= 6)
    server.stop()
    time.sleep(3)
    assert all(each.poll() is None for each in drivers)
    server.start()
    assert [each.wait(240) for each in drivers] == [0, 0]
    results(searched, searched.study(server.url, alone=False))


def test_what_is_no_database_is_refused() -> None:
    with pytest.raises(InputError, match="is not a database"):
        storage.open_storage("nonsense")
    with pytest.raises(InputError, match=r"cannot use the storage .* no folder /nowhere"):
        storage.open_storage("sqlite:////nowhere/study.db")


@pytest.mark.parametrize("kind", ["text", "folder", "pipe"])
def test_a_file_that_is_no_database_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    make = {"text": lambda p: p.write_text("words"), "folder": Path.mkdir, "pipe": os.mkfifo}
    make[kind](path)
    with pytest.raises(InputError, match=r"study\.db"):
        storage.open_storage(f"sqlite:///{path}")


def test_a_damaged_database_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    storage.open_storage(f"sqlite:///{path}")
    whole = path.read_bytes()
    # The header of SQLite has 100 bytes; what follows are the tables.
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    with pytest.raises(InputError, match=r"cannot use the storage .*malformed"):
        storage.open_storage(f"sqlite:///{path}")
    damaged = DatabaseError("", None, Exception("malformed"))

    def call() -> None:
        raise damaged

    with pytest.raises(InputError, match=r"the storage is damaged: .*malformed"):
        storage.patiently(call)


MISTYPED = [
    "postgresql:/me:hunter2@host/db",
    "postgresql//me:hunter2@host/db",
    # The host and the database were forgotten: what stands there is no port.
    "postgresql+psycopg://me:hunter2/db",
    # An @ that is not percent-encoded.
    "postgresql+psycopg://me:hun@ter2@127.0.0.1:1/db",
    "postgresq://me:hunter2@host/db",
    "postgresql+psycopg://me:hunter2@host:port/db",
    "me:hunter2@host",
]


@pytest.mark.parametrize("url", MISTYPED)
def test_a_mistyped_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InputError, match="is not a database") as caught:
        storage.open_storage(url)
    assert "ter2" not in str(caught.value)


def test_what_a_driver_says_is_without_the_password() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    # libpq quotes what it cannot understand.
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/db?sslmode=hunter3"
    with pytest.raises(BamctlError, match="cannot use the storage") as caught:
        storage.open_storage(url)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [StorageInternalError("locked"), OperationalError("", None, Exception("away"))]
)
def test_a_storage_that_comes_back_is_waited_for(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_FIRST_PAUSE", 0.0)
    failures = iter([error, error])

    def call() -> str:
        if (problem := next(failures, None)) is not None:
            raise problem
        return "done"

    assert storage.patiently(call) == "done"
    monkeypatch.setattr(storage, "_PATIENCE_SECONDS", -1.0)

    def never() -> str:
        raise error

    with pytest.raises(BamctlError, match="is still unavailable"):
        storage.patiently(never)
