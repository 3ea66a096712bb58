"""Defaults of a project: the table `[tool.bamctl]` of its `pyproject.toml`."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from bamctl.errors import InputError, blame
from bamctl.files import schemas
from bamctl.files.atomic import check_can_read
from bamctl.files.yaml_files import KeyPath, YamlFile
from bamctl.networks import models, trust
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.patterns import Where, split

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FILE = "pyproject.toml"
_HEADER = re.compile(r"""\s*\[\s*tool\s*\.\s*["']?bamctl["']?\s*(?:\.\s*["']?([\w-]+))?""")
_KEY = re.compile(r"""\s*["']?([^\s"'=.\[#]+)["']?\s*[.=]""")
_AT_LINE = re.compile(r"\(at line (\d+)")


class Defaults(NetworkSpec):
    """The keys of the table: a network, and what commands do with it."""

    data: str | None = Field(default=None, description="a data set, as for --data")
    where: Where | None = Field(default=None, description="sites, as for --where")

    def patterns(self) -> list[str]:
        """Return the patterns of `where`."""
        return [self.where] if isinstance(self.where, str) else list(self.where or ())


@dataclass(frozen=True)
class Project:
    """A `pyproject.toml` with a table for bamctl, and the defaults in it."""

    path: Path
    defaults: Defaults


def find() -> Project | None:
    """Return the project of the current folder: the nearest table at or above it, if any.

    Raises:
        InputError: the file or the table is invalid, or names code that is not trusted.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        path = folder / _FILE
        if path.is_file() and (file := _table(path)) is not None:
            defaults = schemas.from_yaml(Defaults, file)
            _check_code(defaults, file)
            return Project(path, defaults)
    return None


def _table(path: Path) -> YamlFile | None:
    """Return the table of a file with the lines of its keys, or None if it has none."""
    text, shown = _read(path), Path(os.path.relpath(path))
    # What other tools make of a file without the name is theirs to report.
    if "bamctl" not in text:
        return None
    try:
        data: Any = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = _AT_LINE.search(str(error))
        raise InputError(
            f"not valid TOML: {error}", path=shown, line=int(line[1]) if line else None
        ) from error
    for name in ("tool", "bamctl"):
        data = data.get(name)
        if data is None:
            return None
        if not isinstance(data, dict):
            raise InputError(f"{name} should be a table, as in [tool.bamctl]", path=shown)
    return YamlFile(shown, data, dict(_lines(text)))


def _read(path: Path) -> str:
    check_can_read(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text; save the file as UTF-8", path=path) from error
    except OSError as error:
        raise blame(error, f"{path}: cannot be read") from error


def _lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the line of each key of the table, which `tomllib` does not report."""
    table: KeyPath | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            header = _HEADER.match(line)
            table = header and ((header[1],) if header[1] else ())
            if table is not None:
                yield table, number
        elif table is not None and (key := _KEY.match(line)):
            yield (*table, key[1]), number


def _check_code(defaults: Defaults, file: YamlFile) -> None:
    """Refuse factories that the table names, unless `trust` allows a file to name them."""
    if file.path.resolve().parent == trust.project_root():
        # Its modules are found from a subfolder, too.
        trust.find_in(str(trust.project_root()))
    kinds = [kind for pattern in defaults.patterns() if (kind := split(pattern)[1])]
    for key, names in (("model", [defaults.model]), ("where", kinds)):
        for name in names:
            try:
                models.check_named_by(name, file.path)
            except InputError as error:
                raise InputError(str(error), path=file.path, line=file.line((key,))) from error
            trust.leave_to_files(*filter(None, [name]))
