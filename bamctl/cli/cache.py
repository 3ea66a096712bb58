"""Reports of earlier analyses, in the user's cache folder."""

import hashlib
import json
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path
from pydantic import TypeAdapter

from bamctl import __version__
from bamctl.errors import BamctlError
from bamctl.files.atomic import write_text
from bamctl.report.document import Report

if TYPE_CHECKING:
    from bamctl.placement.placement import Placement

_LIBRARIES = ("torch", "torchvision", "fvcore", "timm")


def key(wanted: "Placement", *, explain: bool, known: object = None) -> str:
    """Return everything that the report of a builder depends on, as text."""
    return json.dumps(
        {
            "wanted": wanted.as_dict(),
            "explain": explain,
            "known": known,
            "bamctl": [__version__, *_own_files()],
            "libraries": [[name, _version(name)] for name in _LIBRARIES],
        },
        sort_keys=True,
    )


def read(key: str) -> Report | None:
    """Return the report of an entry, or None if it is missing, damaged or of another key."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        entry = json.loads(_path(key).read_bytes())
        # File names are digests, which may collide, and a file may be damaged.
        if entry["key"] == key and entry["digest"] == _digest(entry["report"]):
            return TypeAdapter(Report).validate_json(entry["report"])
    return None


def write(key: str, report: Report) -> None:
    """Write a report; ignore failures."""
    text = TypeAdapter(Report).dump_json(report).decode()
    path = _path(key)
    with suppress(OSError, BamctlError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"key": key, "digest": _digest(text), "report": text}))


def _path(key: str) -> Path:
    return user_cache_path("bamctl") / "analyze" / f"{_digest(key)}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _own_files() -> list[list[Any]]:
    """Return the files of this package, so that a change of the code invalidates the cache."""
    package = Path(__file__).parent.parent
    found = sorted((path.as_posix(), path.stat()) for path in package.rglob("*.py"))
    return [[name, stat.st_mtime_ns, stat.st_size] for name, stat in found]


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
