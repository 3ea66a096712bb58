"""Data sets that are on this machine already."""

import re
from collections.abc import Iterator
from pathlib import Path

from bamctl.data import _debian as debian
from bamctl.data.sets import names


def found(root: Path) -> dict[str, str]:
    """Return the data sets that need no download, by name, each with where it is.

    Args:
        root: the folder of torchvision's sets.
    """
    packaged = {"fashion-mnist": str(debian.FOLDER)} if debian.FOLDER.is_dir() else {}
    return {"digits": "scikit-learn", **packaged, **dict(_in_root(root))}


def _in_root(root: Path) -> Iterator[tuple[str, str]]:
    """Yield torchvision's sets in a folder, judged by the names that torchvision gives to files."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        plain = re.sub("[^a-z0-9]", "", path.name.lower())
        matching = [name for name in names() if plain.startswith(name.replace("-", ""))]
        if matching:
            yield max(matching, key=len), str(path)
