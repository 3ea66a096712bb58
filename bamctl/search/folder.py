"""The folder of a search, held by one program at a time.

config.yaml          the whole configuration
study.db             the trials, unless they are in another storage
front/               a placement file for each member of the front
confirmation.jsonl   a line for each run on fresh seeds
result.json          what is reported
"""

from pathlib import Path

from filelock import FileLock

from bamctl import held_folder
from bamctl.errors import InputError
from bamctl.search.config import SearchConfig

_CONFIG = "config.yaml"


class SearchFolder:
    """A folder that is this program's until it is closed.

    Args:
        path: the folder.
        lock: that of the folder, which is held already.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock

    @property
    def confirmation(self) -> Path:
        """Where runs on fresh seeds are written down."""
        return self.path / "confirmation.jsonl"

    def storage(self, config: SearchConfig) -> str:
        """The URL of the study."""
        return config.storage or f"sqlite:///{(self.path / 'study.db').absolute()}"

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.release()


def create(path: Path, config: SearchConfig) -> SearchFolder:
    """Make the folder of a new search.

    Raises:
        InputError: there is something already, it is in use, or it cannot be made.
    """
    folder = SearchFolder(path, held_folder.make(path))
    config.save(path / _CONFIG)
    return folder


def read_config(path: Path) -> SearchConfig:
    """The configuration of the search in a folder.

    Raises:
        InputError: there is none, or it is not valid.
    """
    if not (path / _CONFIG).is_file():
        raise InputError(f"{path} is no folder of `bamctl search`: it has no {_CONFIG}")
    return SearchConfig.load(path / _CONFIG)


def reopen(path: Path, config: SearchConfig) -> SearchFolder:
    """Go on with a folder, with a configuration that may want more trials now.

    Raises:
        InputError: it is in use, or cannot be written.
    """
    folder = SearchFolder(path, held_folder.hold(path))
    if read_config(path) != config:
        config.save(path / _CONFIG)
    return folder
