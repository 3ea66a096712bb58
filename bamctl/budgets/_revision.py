"""Revisions of a git repository: the base of a change, and its files in a temporary worktree."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bamctl.errors import BamctlError, InputError

AUTO = "auto"
_PREFIX = "bamctl-against-"
_OWN = re.compile(rf"{_PREFIX}(?P<pid>\d+)-[^/]*")
# Variables that git sets for its hooks, and that would make commands work on another index.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")


class NotComparableError(BamctlError):
    """A revision cannot be compared with; the message says why, and what would help."""


@dataclass(frozen=True)
class Revision:
    """A commit of the repository around the current folder.

    `name` is what it was named by, `top` the root of the repository's working tree.
    """

    name: str
    commit: str
    top: Path


def base_of(name: str) -> Revision:
    """Return the commit at which the current state left a branch: their merge base.

    Args:
        name: a branch, tag or commit; or `auto`, in a pipeline of a pull or merge request, for the
            commit that it would be merged into.

    Raises:
        InputError: `auto` outside of such a pipeline.
        NotComparableError: there is no git, no repository, or no such commit here.
    """
    if shutil.which("git") is None:
        raise NotComparableError("git is not installed; install it")
    try:
        top = Path(_git("rev-parse", "--show-toplevel"))
    except NotComparableError as error:
        raise NotComparableError(
            f"this folder is in no git repository that can be read ({error}); run in a clone"
        ) from error
    ref = _merged_into() if name == AUTO else name
    try:
        tip = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except NotComparableError as error:
        raise NotComparableError(f"there is no commit {ref!r} here{_cure()}") from error
    try:
        commit = _git("merge-base", tip, "HEAD")
    except NotComparableError as error:
        raise NotComparableError(f"{ref} and HEAD have no common commit here{_cure()}") from error
    return Revision(ref, commit, top)


def _cure() -> str:
    if _git("rev-parse", "--is-shallow-repository") != "true":
        return "; `git fetch` it, or name another"
    return (
        ", in a shallow clone; fetch its history, with `git fetch --unshallow`, or with "
        "`fetch-depth: 0` of actions/checkout"
    )


def _merged_into() -> str:
    """Return what the pull or merge request of this pipeline would be merged into.

    Raises:
        InputError: this is no such pipeline.
    """
    env = os.environ
    if env.get("GITHUB_ACTIONS") == "true" and env.get("GITHUB_BASE_REF"):
        # What is checked out is the merge, whose first parent is the base that it was made with.
        return "HEAD^1" if _is_merge() else f"origin/{env['GITHUB_BASE_REF']}"
    for variable in ("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "CI_MERGE_REQUEST_DIFF_BASE_SHA"):
        if env.get(variable):
            return env[variable]
    raise InputError(
        "--against auto finds the base of a pull request in GitHub Actions and of a merge request "
        "in GitLab CI; here, name it, as in --against main"
    )


def _is_merge() -> bool:
    with suppress(NotComparableError):
        return bool(_git("rev-parse", "--verify", "--quiet", "HEAD^2"))
    # The parents of a commit at the boundary of a shallow clone are known, but not there.
    return _git("cat-file", "-p", "HEAD").split("\n\n")[0].count("\nparent ") > 1


def changed_files(revision: Revision) -> list[str]:
    """Return the files that differ from a revision, committed or not, relative to the root."""
    differing = _git("diff", "--name-only", "-z", "--no-renames", revision.commit, at=revision.top)
    others = _git("ls-files", "--others", "--exclude-standard", "-z", at=revision.top)
    return [name for name in (*differing.split("\0"), *others.split("\0")) if name]


def head(without: Path) -> tuple[str, bool]:
    """Return the current commit, and whether other files than one differ from it.

    Raises:
        NotComparableError: there is no git, no repository or no commit.
    """
    if shutil.which("git") is None:
        raise NotComparableError("git is not installed; install it")
    top, commit = Path(_git("rev-parse", "--show-toplevel")), _git("rev-parse", "HEAD")
    changed = {(top / name).resolve() for name in changed_files(Revision("HEAD", commit, top))}
    return commit, bool(changed - {without.resolve()})


@contextmanager
def worktree(revision: Revision) -> Iterator[Path]:
    """Check a revision out into a temporary folder, which is removed at the end of the block.

    The index, the stashes and the files of the user's working tree are left as they are, and no
    hook is run. What a killed process left behind is removed first.

    Raises:
        NotComparableError: it cannot be checked out.
    """
    _prune(revision.top)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    tree = folder / "tree"
    try:
        _git("worktree", "add", "--detach", str(tree), revision.commit, at=revision.top)
        yield tree
    finally:
        _remove(tree, revision.top)


def _prune(top: Path) -> None:
    """Remove the worktrees of processes that are gone."""
    for line in _git("worktree", "list", "--porcelain", "-z", at=top).split("\0"):
        if not line.startswith("worktree "):
            continue
        tree = Path(line.removeprefix("worktree "))
        found = _OWN.fullmatch(tree.parent.name)
        if found and not psutil.pid_exists(int(found["pid"])):
            _remove(tree, top)


def _remove(tree: Path, top: Path) -> None:
    with suppress(NotComparableError):
        _git("worktree", "remove", "--force", "--force", str(tree), at=top)
    shutil.rmtree(tree.parent, ignore_errors=True)
    with suppress(NotComparableError):
        # Where the folder was gone before, only its entry is left.
        if str(tree) in _git("worktree", "list", "--porcelain", at=top):
            _git("worktree", "prune", at=top)


def _git(*arguments: str, at: Path | None = None) -> str:
    """Run git and return its output.

    Raises:
        NotComparableError: it failed.
    """
    env = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    env |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    done = subprocess.run(
        ["git", "-c", f"core.hooksPath={os.devnull}", *arguments],
        cwd=at,
        env=env,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        # A Ctrl-C is for this process, which ends git's work in order.
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        lines = os.fsdecode(done.stderr).strip().splitlines() or [f"git {arguments[0]} failed"]
        raise NotComparableError(lines[-1].removeprefix("fatal: "))
    return os.fsdecode(done.stdout).removesuffix("\n")
