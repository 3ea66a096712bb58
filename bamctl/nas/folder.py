"""The folder of a search, locked by one program at a time.

config.yaml          the whole configuration, without the password of a storage
storage.url          the storage's URL with its password, if it has one; mode 0600
study.db             the trials, unless they are in another storage
front/               a placement file for each member of the front
trunks/              the state at the end of each trunk, one for each seed
race.jsonl           a line for each run of the race
confirmation.jsonl   a line for each run on fresh seeds
result.json          what is reported
"""

from pathlib import Path

from filelock import FileLock
from pydantic import SecretStr

from bamctl.errors import InputError
from bamctl.files import held_folder
from bamctl.files.atomic import write_text
from bamctl.nas.config import SearchConfig
from bamctl.text import masking
from bamctl.training.start import Start

_CONFIG = "config.yaml"
_URL = "storage.url"


class SearchFolder:
    """A folder that this program locks until it is closed.

    Args:
        path: the folder.
        lock: that of the folder, already acquired.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock

    @property
    def trunks(self) -> Path:
        """The folder of the trunks."""
        return self.path / "trunks"

    @property
    def race(self) -> Path:
        """The path of the records of the race."""
        return self.path / "race.jsonl"

    def confirmation(self, start: Start | None) -> Path:
        """Return the path of the records of runs on fresh seeds; of those of another start, too."""
        return self.path / (f"confirmation-{start}.jsonl" if start else "confirmation.jsonl")

    def storage(self, config: SearchConfig) -> str:
        """Return the URL of the study."""
        if config.storage is not None:
            return config.storage.get_secret_value()
        return f"sqlite:///{(self.path / 'study.db').absolute()}"

    @property
    def password_file(self) -> Path | None:
        """The file with the storage's password, if it has one."""
        path = self.path / _URL
        return path if path.exists() else None

    def close(self) -> None:
        """Release the folder."""
        self._lock.release()


def create(path: Path, config: SearchConfig) -> SearchFolder:
    """Create the folder of a new search.

    Raises:
        InputError: it is not empty, it is in use, or it cannot be created.
    """
    folder = SearchFolder(path, held_folder.make(path))
    _save(path, config)
    return folder


def _save(path: Path, config: SearchConfig) -> None:
    if config != config.without_password() and config.storage is not None:
        write_text(path / _URL, config.storage.get_secret_value() + "\n", mode=0o600)
    config.save(path / _CONFIG)


def read_config(path: Path) -> SearchConfig:
    """Read the configuration of the search in a folder.

    Raises:
        InputError: it is missing or invalid, or the password of its storage is missing.
    """
    if not (path / _CONFIG).is_file():
        raise InputError(f"{path} is not a folder of `bamctl search`: it has no {_CONFIG}")
    config = SearchConfig.load(path / _CONFIG)
    if (path / _URL).is_file():
        return config.model_copy(update={"storage": SecretStr(_read(path / _URL))})
    if config.storage and masking.HIDDEN in config.storage.get_secret_value():
        raise InputError(
            f"{path / _URL} is missing; it must contain the storage URL with its password"
        )
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read {path}: {why}") from error


def reopen(path: Path, config: SearchConfig) -> SearchFolder:
    """Resume a folder, with a configuration that may request more trials.

    Raises:
        InputError: it is in use, or cannot be written.
    """
    folder = SearchFolder(path, held_folder.hold(path))
    # Folders of earlier versions have the password in the configuration.
    if SearchConfig.load(path / _CONFIG) != config.without_password():
        _save(path, config)
    return folder
