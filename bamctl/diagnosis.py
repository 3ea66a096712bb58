"""`diagnose`: what is installed and found here, for the report of a bug."""

import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from platformdirs import user_cache_path

from bamctl.errors import first_line

# What each extra of the package adds.
EXTRAS = {
    "onnx": "`bamctl insert --out x.onnx`",
    "ray": "`--engine ray`, which executes runs and trials on a cluster",
    "tensorboard": "`bamctl train --tensorboard`, and `bamctl judge` of TensorBoard's folders",
    "timm": "timm's networks and attention modules, as `timm:NAME`",
    "video": "videos of `--data clips:PATH`, which needs none for folders of frames",
}
DATA_ROOT = Path("data")


@dataclass(frozen=True)
class Library:
    """A library that bamctl requires; `version` is None if it is missing."""

    name: str
    required: str
    version: str | None

    @property
    def is_met(self) -> bool:
        """Whether it is installed in a version that is allowed."""
        allowed = Requirement(f"{self.name}{self.required}").specifier
        return self.version is not None and allowed.contains(self.version, prereleases=True)


@dataclass(frozen=True)
class Extra:
    """An extra of the package, such as `timm`, its libraries, and what it adds."""

    name: str
    adds: str
    libraries: tuple[Library, ...]

    @property
    def is_met(self) -> bool:
        """Whether all its libraries are installed."""
        return all(each.is_met for each in self.libraries)


@dataclass(frozen=True)
class Folder:
    """A folder of files that are kept between runs."""

    name: str
    path: Path
    num_files: int
    num_bytes: int


@dataclass(frozen=True)
class Diagnosis:
    """What is installed and found here.

    `devices` maps a device to its name, `data` a data set to where it was found. `problem` is why
    torch cannot be used, if it cannot.
    """

    python: str
    system: str
    libraries: tuple[Library, ...]
    extras: tuple[Extra, ...]
    devices: dict[str, str]
    folders: tuple[Folder, ...]
    data: dict[str, str]
    problem: str | None = None


def diagnose() -> Diagnosis:
    """Look for libraries, devices, caches and data sets; nothing is downloaded or written."""
    devices, data, problem = {}, {}, None
    folders = [("analyses", user_cache_path("bamctl"))]
    try:
        import torch

        from bamctl.data.found import found

        devices, data = _devices(), found(DATA_ROOT)
        folders.append(("published weights", Path(torch.hub.get_dir()) / "checkpoints"))
    except Exception as error:  # what a broken installation raises
        problem = f"torch cannot be used: {first_line(error)}"
    return Diagnosis(
        python=platform.python_version(),
        system=platform.platform(),
        libraries=_libraries(None),
        extras=tuple(Extra(name, adds, _libraries(name)) for name, adds in EXTRAS.items()),
        devices=devices,
        folders=tuple(_folder(*each) for each in folders),
        data=data,
        problem=problem,
    )


def _libraries(extra: str | None) -> tuple[Library, ...]:
    """Return the libraries that the package requires, or those that an extra adds."""
    every = [Requirement(text) for text in metadata.requires("bamctl") or ()]
    base = [each for each in every if _applies(each, "")]
    added = [each for each in every if each not in base and _applies(each, extra or "")]
    return tuple(
        Library(each.name, str(each.specifier), _version(each.name))
        for each in (base if extra is None else added)
    )


def _applies(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({"extra": extra})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, str]:
    """Return the devices that torch can use, with their names."""
    import torch

    from bamctl.timing.setup import device_name

    found = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return {name: device_name(torch.device(name)) for name in ("cpu", *found)}


def _folder(name: str, path: Path) -> Folder:
    files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else []
    return Folder(name, path, len(files), sum(each.stat().st_size for each in files))
