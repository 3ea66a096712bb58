"""The placements that come with the program, and placements by name or file."""

from pathlib import Path

from bamctl.errors import InputError, did_you_mean
from bamctl.placement.placement import Placement


def shipped_folder() -> Path:
    """Return the folder of shipped placements, in an installed package or in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "placements"
    return inside if inside.is_dir() else package.parent / "placements"


def shipped_names() -> tuple[str, ...]:
    """Return the names of shipped placements, such as `bottleneck` and `paper/reduction-8`."""
    folder = shipped_folder()
    files = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return tuple(sorted(file.with_suffix("").as_posix() for file in files))


def find(name_or_path: str | Path) -> Placement:
    """Load a placement by path, or by the name of a shipped one.

    Raises:
        InputError: the file or name does not exist, or the placement is invalid.
    """
    if Path(name_or_path).suffix == ".safetensors":
        raise InputError(
            f"{name_or_path} is a file of weights; give it to --weights, which reads its placement"
        )
    if Path(name_or_path).exists():
        return Placement.load(name_or_path)
    name, names = str(name_or_path), shipped_names()
    if name in names:
        return Placement.load(shipped_folder() / f"{name}.yaml")
    near = did_you_mean(name, names) or f"; the shipped ones are {', '.join(names)}"
    raise InputError(f"no placement file or shipped placement {name!r}{near}")
