"""Targets of a check: placements and their files, and files that cannot be read."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bamctl.errors import InputError
from bamctl.files import yaml_files
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.placement import Placement

# The default folder of placements in a project.
PLACEMENTS = "placements"


@dataclass(frozen=True)
class Target:
    """A placement to check, and the file that it was read from, if any."""

    placement: Placement
    file: yaml_files.YamlFile | None = None

    @property
    def name(self) -> str:
        """The path of the file as passed, or the name of the model."""
        return self.file.path.as_posix() if self.file else str(self.placement.model)

    @property
    def key(self) -> str:
        """The path of the file, relative to the current folder if inside, or options as JSON."""
        if self.file is None:
            return json.dumps(self.placement.model_copy(update={"budget": None}).as_dict())
        path = self.file.path.absolute()
        here = Path.cwd()
        return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()

    def check_factory(self) -> None:
        """Raise for a factory that the file may not name.

        Raises:
            InputError: the factory is not trusted; the message says how to allow it.
        """
        if self.file is not None:
            self.placement.check_named_by(self.file.path, with_network=True)

    def limit_line(self, *keys: str) -> int | None:
        """Return the line of the file that holds a limit, by its keys in the budget."""
        return self.file.line(("budget", *keys, "max")) if self.file else None

    def error_line(self, key: str) -> int | None:
        """Return the line of the file that an error refers to."""
        return self.file.line((key,)) if self.file else None


@dataclass(frozen=True)
class Unchecked:
    """A placement that could not be checked, and why, in one line.

    `file` is the file that it was read from, and None for one from options.
    """

    name: str
    reason: str
    exit_code: int
    file: str | None
    line: int | None = None


@dataclass(frozen=True)
class Found:
    """Placements with a budget, files that cannot be read, and files without a budget."""

    targets: tuple[Target, ...]
    unreadable: tuple[Unchecked, ...]
    without_budget: tuple[str, ...]


def find_targets(paths: Iterable[Path], network: str | NetworkSpec | None = None) -> Found:
    """Read every placement file that is named, or is in a folder that is named.

    Args:
        paths: files and folders.
        network: the network of placements that name none.

    Raises:
        InputError: a folder holds no placement file, or no file has a budget.
    """
    targets, unreadable, without_budget = [], [], []
    network = NetworkSpec(model=network) if isinstance(network, str) else network
    files = [file for path in paths for file in _files(path)]
    for path in dict.fromkeys(files):
        try:
            file = yaml_files.load(path)
            placement = Placement.from_yaml(file)
        except InputError as error:
            name = path.as_posix()
            unreadable.append(Unchecked(name, str(error), error.exit_code, name, error.line))
            continue
        if placement.budget is None:
            without_budget.append(path.as_posix())
        else:
            targets.append(Target(placement.or_for(network), file))
    if without_budget and not targets and not unreadable:
        raise InputError(
            f"{without_budget[0]}: nothing to check, since no file has a budget; add one, as in "
            "`budget: {params: +2 %}`, or let `bamctl check --init MODEL` write one"
        )
    return Found(tuple(targets), tuple(unreadable), tuple(without_budget))


def placement_files(path: Path) -> list[Path]:
    """Return a file, or the placement files in a folder, sorted.

    Raises:
        InputError: a folder cannot be read.
    """
    return sorted(_placements_in(path)) if path.is_dir() else [path]


def _files(path: Path) -> Iterator[Path]:
    files = placement_files(path)
    if not files:
        raise InputError(f"{path}: no placement file in this folder; `bamctl check --init MODEL`")
    yield from files


def _placements_in(folder: Path) -> Iterator[Path]:
    def unreadable(error: OSError) -> NoReturn:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}")

    seen: set[str] = set()
    for root, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        seen.add(os.path.realpath(root))
        # A symbolic link may point to a parent folder.
        folders[:] = [name for name in folders if os.path.realpath(Path(root, name)) not in seen]
        yield from (Path(root, n) for n in names if n.lower().endswith((".yaml", ".yml")))
