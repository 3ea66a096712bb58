"""Trust in factories: `package.module:factory` is code, and data files must not select code.

Placements, weights files and the configurations of runs are data, possibly from a third party. A
factory is called, and its module imported, only if

- the user named it: on the command line, as MODEL or with `--trust`, or to a function in Python; or
- it belongs to the user's project, and so does the file that names it. The project is the nearest
  folder at or above the current one with a `pyproject.toml` or `.git`, otherwise the current
  folder. Libraries that are installed below it, as in `.venv`, do not belong to it.

Both are checked before anything is imported.
"""

import os
import pkgutil
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from bamctl.errors import InputError

_MARKERS = ("pyproject.toml", ".git")

# Factories that the user named in this process.
_named: set[str] = set()
# Factories that only a file named, although they are passed on as arguments.
_of_files: set[str] = set()


def trust(*names: str) -> None:
    """Allow factories that the user named; names of other networks have no effect."""
    _named.update(set(names) - _of_files)


def leave_to_files(*names: str) -> None:
    """Keep factories that only a file named from being allowed by a later `trust`."""
    _of_files.update(set(names) - _named)


def named() -> tuple[str, ...]:
    """Return the factories that the user named, for a process that works for this one."""
    return tuple(sorted(_named))


def check_file(name: str, file: Path) -> None:
    """Refuse a factory that only a file names, unless both belong to the current project.

    Args:
        name: a factory, as `package.module:factory`.
        file: the file that names it.

    Raises:
        InputError: the factory is not trusted; the message names the option that trusts it.
    """
    check(name)
    if name not in _named and not _is_below(file, project_root()):
        raise InputError(
            f"{name} is code, and {file.name}, which names it, is outside of the project "
            f"{project_root()}; if you trust it, add {_flag(name)}"
        )


def check(name: str) -> None:
    """Refuse a factory that the user did not name and that is not part of the current project.

    Raises:
        InputError: the factory is not trusted; the message names the option that trusts it.
    """
    module = name.partition(":")[0]
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise InputError(f"{name} is not a network; {module} is part of Python's standard library")
    if name in _named:
        return
    files = files_of(module)
    if files is None:
        raise InputError(
            f"{name} cannot be imported: No module named {module!r}; run where it is, or install it"
        )
    if not _is_of_project(files):
        raise InputError(
            f"{name} is code outside of the project {project_root()}, and only a file names it; "
            f"if you trust it, add {_flag(name)}"
        )


def check_callable(name: str, found: Callable[..., Any]) -> None:
    """Refuse a callable that is neither an `nn.Module` class nor a Python function.

    Modules contain imported names too. So a callable that only a file names must also be defined in
    the current project, and none may belong to the standard library.

    Raises:
        InputError: the callable is refused.
    """
    from torch import nn

    made_by = _function(found)
    if isinstance(made_by, type) and issubclass(made_by, nn.Module):
        module, file = made_by.__module__, _file_of(made_by.__module__)
    elif isinstance(made_by, FunctionType):
        defined_in = made_by.__globals__
        module, file = str(defined_in.get("__name__")), defined_in.get("__file__")
    else:
        raise InputError(
            f"{name} is not called, since it is neither an nn.Module subclass nor a Python function"
        )
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise InputError(f"{name} is not called, since it is part of Python's standard library")
    if name not in _named and not (file and _is_of_project([Path(file)])):
        raise InputError(
            f"{name} is defined in {module}, and not in the project {project_root()}; if you "
            f"trust it, add {_flag(name)}"
        )


def flag_for(name: str, file: Path) -> str:
    """Return ` --trust NAME` if a later command needs it for a factory in a file, or nothing."""
    files = files_of(name.partition(":")[0]) or []
    is_own = _is_below(file, project_root()) and _is_of_project(files)
    return "" if is_own else f" --trust {name}"


def _flag(name: str) -> str:
    return f"`--trust {name}`"


def _function(found: Any) -> Any:
    """Return the function below methods, partial calls and decorators."""
    while True:
        if isinstance(found, MethodType):
            found = found.__func__
        elif isinstance(found, partial):
            found = found.func
        elif not isinstance(found, type) and "__wrapped__" in getattr(found, "__dict__", {}):
            found = found.__wrapped__
        else:
            return found


def _file_of(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


def project_root() -> Path:
    """Return the folder of the current project."""
    here = Path.cwd().resolve()
    folders = (here, *here.parents)
    return next((f for f in folders if any((f / name).exists() for name in _MARKERS)), here)


def _is_of_project(files: Iterable[Path]) -> bool:
    root, files = project_root(), list(files)
    return bool(files) and all(
        _is_below(file, root) and not any(_is_below(file, each) for each in _libraries())
        for file in files
    )


def is_of_a_person(file: Path) -> bool:
    """Return whether a source file is the user's, not of Python, a library or this package."""
    package = Path(__file__).resolve().parent.parent
    return file.is_file() and not any(_is_below(file, each) for each in (*_libraries(), package))


def _is_below(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder)


@cache
def _libraries() -> tuple[Path, ...]:
    """Return the folders of Python's standard library and of installed packages."""
    paths = sysconfig.get_paths()
    own = [paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = [*own, *site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(folder).resolve() for folder in found)


def find_in(folder: str) -> None:
    """Append a folder to the import path."""
    if folder not in sys.path:
        # In front, a file random.py there would shadow Python's module.
        sys.path.append(folder)


def files_of(module: str) -> list[Path] | None:
    """Return the files that importing a module would execute, with its packages; imports nothing.

    `importlib.util.find_spec` of a dotted name imports the parent packages, so it is called for the
    first part only.

    Returns:
        The files; an empty list for a module without a file, and None if it is not found.
    """
    find_in(os.getcwd())
    parts = module.split(".")
    specs = list(_specs(parts))
    if len(specs) < len(parts):
        return None
    files = [Path(str(spec.origin)) for spec in specs if spec.has_location]
    return files if specs[-1].has_location else []


def _specs(parts: list[str]) -> Iterator[ModuleSpec]:
    """Yield the specs of a module's packages and of the module, until one is not found."""
    try:
        spec = find_spec(parts[0])
    except ValueError:  # a module without a spec, such as __main__
        return
    for end in range(1, len(parts) + 1):
        if spec is None:
            return
        yield spec
        name = ".".join(parts[: end + 1])
        spec = _inside(name, spec.submodule_search_locations or ())


def _inside(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    """Return the spec of a submodule in the folders of a package, without importing that."""
    portions: list[str] = []
    for folder in folders:
        finder: Any = pkgutil.get_importer(folder)
        spec: ModuleSpec | None = finder.find_spec(name) if finder else None
        if spec is not None and spec.loader is not None:
            return spec
        if spec is not None:
            portions += spec.submodule_search_locations or ()
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace if portions else None
