"""The past of placements: the files of a revision, and figures from the code of that time."""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bamctl.budgets.figures import Figure, Priced, figure, price
from bamctl.budgets.targets import Target, placement_files
from bamctl.errors import BamctlError
from bamctl.networks import trust
from bamctl.placement.metrics import static
from bamctl.trunk.traced import TracedNetwork

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
        path = os.path.realpath(entry or os.getcwd())
        is_inside = path == root or path.startswith(root + os.sep)
        if is_inside and "site-packages" not in path:
            found.append(str(tree) + path[len(root) :])
    return found


def begin(here: Path, folders: Sequence[str], trusted: Sequence[str]) -> None:
    """Begin in the folder of a revision, whose code is found before that of today.

    Behind the standard library, since a file may have the name of one of its modules.
    """
    sys.dont_write_bytecode = True
    os.chdir(here)
    library = os.path.dirname(os.__file__)
    place = 1 + max(
        (
            i
            for i, entry in enumerate(sys.path)
            if entry.startswith(library) and "site-packages" not in entry
        ),
        default=-1,
    )
    sys.path[place:place] = dict.fromkeys([str(here), *folders])
    trust.trust(*trusted)


def priced_there(targets: Mapping[str, Target]) -> dict[str, Found]:
    """Price the placements of a revision on its networks, in a process of its own."""
    found: dict[str, Found] = {}
    subjects: dict[str, TracedNetwork] = {}
    for key, target in targets.items():
        try:
            target.check_factory()
            network = target.placement.key
            if network not in subjects:
                subjects = {network: TracedNetwork.load(target.placement)}
            found[key] = figures_of(price(subjects[network], target.placement))
        except BamctlError as error:
            here = str(target.file.path.parent) + os.sep if target.file else ""
            found[key] = str(error).replace(here, "")
    return found


def figures_of(priced: Priced, metrics: Collection[str] | None = None) -> dict[str, Figure]:
    """Return figures of a placement that depend on no device, those that can be computed.

    Args:
        priced: the placement.
        metrics: the metrics to take. Default: all.
    """
    found: dict[str, Figure] = {}
    for metric in static():
        if metrics is not None and metric not in metrics:
            continue
        with suppress(BamctlError):
            found[metric] = figure(metric, priced)
    return found
