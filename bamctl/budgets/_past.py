"""The past of placements: the files of a revision, and figures from the code of that time."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bamctl.budgets.figures import Figure, Priced, figures_of
from bamctl.budgets.pricing import NotPriced, price_all
from bamctl.budgets.targets import Target, placement_files
from bamctl.networks import trust

# The figures of a placement by their metrics, or why there are none.
Found = dict[str, Figure] | str


def old_files(path: Path, tree: Path, here: Path, problems: list[str]) -> Iterator[Path]:
    """Yield the placement files of a revision for a path of today."""
    own = path if path.is_absolute() else Path.cwd() / path
    old = here / os.path.relpath(own)
    if not Path(os.path.normpath(old)).is_relative_to(tree):
        problems.append(f"{path} is outside of the repository, and has no past")
        return
    if not old.exists():
        return
    for file in placement_files(old):
        if file.resolve().is_relative_to(tree.resolve()):
            yield file
        else:
            name = file.relative_to(here) if file.is_relative_to(here) else file.name
            problems.append(f"{name} is a link out of the repository, and is not followed")


def moved(top: Path, tree: Path) -> list[str]:
    """Return the import path with the folders of the repository replaced by those of a worktree."""
    root, found = str(top.resolve()), []
    for entry in sys.path:
        path = os.path.realpath(entry or os.curdir)
        if _is_in(path, root) and "site-packages" not in path:
            found.append(str(tree) + path[len(root) :])
    return found


def begin(
    here: Path, top: Path, tree: Path, folders: Sequence[str], trusted: Sequence[str]
) -> None:
    """Begin in the folder of a revision, whose code is found in place of today's.

    It is found behind the standard library, since a file may have the name of one of its modules.
    Python code of the revision cannot write into today's working tree.
    """
    sys.dont_write_bytecode = True
    os.chdir(here)
    root, library = str(top.resolve()), os.path.dirname(os.__file__)
    kept = [entry for entry in sys.path if "site-packages" in entry or not _is_in(entry, root)]
    of_python = [entry for entry in kept if entry.startswith(library) and "-packages" not in entry]
    others = [entry for entry in kept if entry not in of_python]
    sys.path[:] = dict.fromkeys([*of_python, str(here), *folders, *others])
    sys.addaudithook(partial(_refuse_writing, root, str(tree.resolve())))
    trust.trust(*trusted)


_WRITING = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
)
_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _refuse_writing(root: str, tree: str, event: str, arguments: tuple[Any, ...]) -> None:
    """Raise for a change of a file below a folder, but not for one below the worktree.

    Raises:
        PermissionError: it is one.
    """
    paths = arguments if event in _WRITING else ()
    if event == "open" and len(arguments) > 2 and (arguments[2] or 0) & _FLAGS:
        paths = arguments[:1]
    for path in paths:
        is_path = isinstance(path, str | bytes | os.PathLike)
        if is_path and _is_in(path, root) and not _is_in(path, tree):
            raise PermissionError(f"code of another revision may not write to {os.fsdecode(path)}")


def _is_in(path: Any, folder: str) -> bool:
    real = os.path.realpath(os.fsdecode(path) or os.curdir)
    return real == folder or real.startswith(folder + os.sep)


def priced_there(targets: Mapping[str, Target]) -> dict[str, Found]:
    """Price the placements of a revision on its networks, in a process of its own."""
    keys = {id(target): key for key, target in targets.items()}
    here = f"{os.getcwd()}{os.sep}"
    found = {}
    for target, result in price_all(targets.values()):
        each = found_by(result)
        found[keys[id(target)]] = each.replace(here, "") if isinstance(each, str) else each
    return found


def found_by(result: Priced | NotPriced) -> Found:
    """Return the figures of a placement, or why it has none."""
    return str(result.error) if isinstance(result, NotPriced) else figures_of(result)
