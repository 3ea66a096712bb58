"""User-defined networks, by the name of the function or class that builds them."""

import inspect
import os
import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bamctl.errors import (
    InputError,
    check_machine,
    described,
    did_you_mean,
    first_line,
    let_through,
)
from bamctl.networks import trust

if TYPE_CHECKING:
    from torch import nn

_NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


def is_factory(name: str) -> bool:
    """Return whether a name is one of `package.module:factory`.

    >>> is_factory("mypackage.nets:TinyNet"), is_factory("resnet50")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def build(name: str, /, *positional: Any, **options: Any) -> "nn.Module":
    """Import a factory, from the current folder too, and call it, where `trust` allows it.

    Args:
        name: an importable callable that returns a module, as `package.module:factory`.
        positional: positional arguments of the factory.
        options: keyword arguments of the factory.

    Raises:
        InputError: the factory is not trusted, cannot be imported or called, or does not return an
            `nn.Module`.
    """
    from torch import nn

    network = call(name, *positional, **options)
    if not isinstance(network, nn.Module):
        raise InputError(f"{name} returned a {type(network).__name__}, not an nn.Module")
    if not hasattr(network, "_modules"):
        raise InputError(f"{name}: {type(network).__name__} does not call super().__init__()")
    return network


def call(name: str, /, *positional: Any, **options: Any) -> Any:
    """Import a function or class as `build` does, and return what it returns.

    Raises:
        InputError: it is not trusted, or cannot be imported or called.
    """
    factory = function(name)
    try:
        found = factory(*positional, **options)
    except (Exception, SystemExit) as error:  # whatever user code raises
        let_through(error)
        named = (f"{key}={value!r}" for key, value in options.items())
        given = ", ".join([*map(repr, positional), *named])
        check_machine(error, f"{name}({given}) failed")
        raise InputError(f"{name}({given}) failed: {described(error)}") from error
    if inspect.iscoroutine(found):
        found.close()  # or Python warns that it was never awaited
    return found


def function(name: str) -> Callable[..., Any]:
    """Import a function or a class of modules, where `trust` allows it.

    Raises:
        InputError: it is not trusted, cannot be imported, or is neither.
    """
    found: Callable[..., Any] = _imported(name)
    if not callable(found):
        raise InputError(f"{name} is not a function or class, but a {type(found).__name__}")
    trust.check_callable(name, found)
    return found


def _imported(name: str) -> Any:
    module_name, attribute = name.split(":")
    trust.find_in(os.getcwd())
    trust.check(name)
    try:
        imported: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{name} cannot be imported: {first_line(error)}; run where it is, or install it"
        ) from error
    except (Exception, SystemExit) as error:  # whatever user code raises
        let_through(error)
        check_machine(error, f"{name} cannot be imported")
        raise InputError(f"{name} cannot be imported: {described(error)}") from error
    for part in attribute.split("."):
        if not hasattr(imported, part):
            near = did_you_mean(part, dir(imported))
            raise InputError(f"{name} cannot be found: no {part!r} in {imported.__name__}{near}")
        imported = getattr(imported, part)
    return imported
