"""Comparison of placements with those of another revision of the repository."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal

from bamctl.budgets import _revision as revisions
from bamctl.budgets._past import Found, begin, moved, old_files, priced_there
from bamctl.budgets._revision import NotComparableError, Revision
from bamctl.budgets.figures import Figure
from bamctl.budgets.targets import Target
from bamctl.errors import InputError
from bamctl.files import yaml_files
from bamctl.networks import factories, timm_models, trust
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.budget import parse_limit
from bamctl.placement.placement import Placement
from bamctl.processes.pool import Pool

Status = Literal["new", "removed", "renamed", "changed", "unchanged"]
# Known without another pass through the network.
_COUNTS = ("params", "macs")


@dataclass(frozen=True)
class Compared:
    """A placement beside the one that it was.

    `was` is its name before, if it was renamed. `before` and `after` are its figures, by their
    metrics, and empty where it is not there; `reason` says why there are none otherwise.
    """

    name: str
    status: Status
    was: str | None = None
    before: dict[str, Figure] = field(default_factory=dict)
    after: dict[str, Figure] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Placements beside those of a revision; `problems` say what could not be compared."""

    ref: str
    commit: str = ""
    placements: tuple[Compared, ...] = ()
    problems: tuple[str, ...] = ()

    def before(self, name: str) -> Compared | None:
        """Return the comparison of a placement that is there today."""
        found = (each for each in self.placements if each.name == name)
        return next((each for each in found if each.status != "removed"), None)


class Against:
    """The placements of a revision, to be priced beside those of today.

    Use it as a context manager; the files of the revision are there inside of the block.

    Args:
        ref: a branch, tag or commit, or `auto`; what counts is where the current state left it.
        targets: the placements of today.
        paths: the files and folders that they were read from; empty for a check of options.
        network: the network of placements that name none.

    Raises:
        InputError: `auto` where it finds nothing.
    """

    def __init__(
        self,
        ref: str,
        targets: Sequence[Target],
        paths: Sequence[Path],
        network: NetworkSpec | None,
    ) -> None:
        self._ref = ref
        self._targets = targets
        self._paths = paths
        self._network = network
        self._open = ExitStack()
        self._revision: Revision | None = None
        self._problems: list[str] = []
        self._old: dict[str, Placement] = {}
        self._pending: Future[dict[str, Found]] | None = None
        # Networks that are the same on both sides are priced with those of today, and placements
        # that are the same are not priced again.
        self.shared: dict[str, Target] = {}
        self._same: dict[str, str] = {}

    def __enter__(self) -> "Against":
        try:
            self._revision = revisions.base_of(self._ref)
            tree = self._open.enter_context(revisions.worktree(self._revision))
            self._read(tree, self._revision)
        except NotComparableError as error:
            self._problems.append(str(error))
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, at)

    def _read(self, tree: Path, revision: Revision) -> None:
        """Read the placements of the revision, and begin to price those of changed code."""
        here = tree / Path.cwd().resolve().relative_to(revision.top.resolve())
        files: dict[str, yaml_files.YamlFile] = {}
        for path in self._paths:
            for file in old_files(path, tree, here, self._problems):
                key = file.relative_to(here).as_posix() if file.is_relative_to(here) else str(path)
                try:
                    files[key] = yaml_files.load(file)
                    placement = Placement.from_yaml(files[key])
                except InputError as error:
                    self._problems.append(str(error).replace(f"{here}{os.sep}", f"{self._ref}:"))
                    continue
                self._old[key] = placement.or_for(self._network)
        if not self._paths:
            self._old = {target.key: target.placement for target in self._targets}
        elif not self._old and not self._problems:
            named = ", ".join(map(str, self._paths))
            self._problems.append(f"{self._ref} has no placement in {named}; it is new today")
        of_checks = {os.path.relpath(path) for path in self._old} | {t.key for t in self._targets}
        is_same_code = of_checks.issuperset(
            os.path.relpath(revision.top / name) for name in revisions.changed_files(revision)
        )
        to_build = {}
        today = {_content(target.placement): target.key for target in self._targets}
        for key, placement in self._old.items():
            is_same_network = is_same_code or not _own_code(placement)
            if is_same_network and _content(placement) in today:
                self._same[key] = today[_content(placement)]
            elif is_same_network:
                # Without a file, since that of the revision has the rights of today's.
                self.shared[key] = Target(placement)
            else:
                to_build[key] = Target(placement, files.get(key))
        if to_build:
            folders = moved(revision.top, tree)
            first = partial(begin, here, revision.top, tree, folders, trust.named())
            pool = self._open.enter_context(Pool(1, first))
            self._pending = pool.submit(priced_there, to_build)

    def metrics(self, target: Target) -> set[str] | None:
        """Return the metrics to compare a placement of today by, None for all.

        One that cannot differ needs the counts, and what its budget limits.
        """
        if target.key not in self._same.values():
            return None
        limited = target.placement.budget.against if target.placement.budget else None
        return {*_COUNTS, *(limited or ())}

    def comparison(self, today: Mapping[str, Found], shared: Mapping[str, Found]) -> Comparison:
        """Compare, by the keys of placements.

        Args:
            today: the figures of today's placements.
            shared: the figures of the revision's placements in `shared`.
        """
        same = {key: today[of_today] for key, of_today in self._same.items()}
        before = {**same, **shared, **self._built()}
        names = {target.key: target.name for target in self._targets}
        old_name = _renamed(self._old, {t.key: t.placement for t in self._targets})
        found = []
        for target in self._targets:
            if self._problems and not self._old:
                break
            was = target.key if target.key in self._old else old_name.get(target.key)
            past = before.get(was or "", {})
            found.append(_compared(target.name, was, target.key, past, today[target.key]))
        gone = self._old.keys() - names.keys() - set(old_name.values())
        found += [_removed(key, before[key]) for key in sorted(gone) if key in before]
        commit = self._revision.commit if self._revision else ""
        ref = self._revision.name if self._revision else self._ref
        problems = [*self._problems, *(f"{c.name}: {c.reason}" for c in found if c.reason)]
        return Comparison(ref, commit, tuple(found), tuple(problems))

    def _built(self) -> dict[str, Found]:
        if self._pending is None:
            return {}
        try:
            return self._pending.result()
        except BrokenProcessPool:
            reason = f"the process that built the networks of {self._ref} ended"
            return dict.fromkeys(self._old.keys() - self.shared.keys() - self._same.keys(), reason)


def _own_code(placement: Placement) -> bool:
    name = placement.model or ""
    is_own = factories.is_factory(name) and not timm_models.is_timm(name)
    return is_own or bool(placement.factories())


def _renamed(old: Mapping[str, Placement], new: Mapping[str, Placement]) -> dict[str, str]:
    """Return the old keys of placements that have another one today, and are otherwise equal."""
    gone = {key: _content(each) for key, each in old.items() if key not in new}
    found: dict[str, str] = {}
    for key, placement in new.items():
        if key in old:
            continue
        content = _content(placement)
        was = next((k for k, c in gone.items() if c == content and k not in found.values()), None)
        if was is not None:
            found[key] = was
    return found


def _content(placement: Placement) -> str:
    return placement.model_copy(update={"budget": None}).to_json()


def _compared(name: str, was: str | None, key: str, past: Found, today: Found) -> Compared:
    after = today if isinstance(today, dict) else {}
    if was is None:
        return Compared(name, "new", after=after)
    renamed = None if was == key else was
    if isinstance(past, str):
        return Compared(name, "renamed" if renamed else "changed", renamed, {}, after, past)
    status: Status = "unchanged" if past == after else "changed"
    return Compared(name, "renamed" if renamed else status, renamed, past, after)


def _removed(key: str, past: Found) -> Compared:
    if isinstance(past, str):
        return Compared(key, "removed", reason=past)
    return Compared(key, "removed", before=past)


def limit_from(before: Figure, limit: str, metric: str) -> Fraction:
    """Return the most that a figure may be, for a limit on its difference to another revision.

    Args:
        before: the figure of the revision.
        limit: `+0.5 %` of it, or an amount that may be added.
        metric: the metric of both.
    """
    parsed = parse_limit(metric, limit)
    if parsed.is_relative:
        return parsed.above(before.value)
    return Fraction(before.value) + parsed.amount
