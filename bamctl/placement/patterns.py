"""Patterns of `where`: strategies, module names and globs, each with the kind of its modules."""

import glob
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from bamctl.attention.kinds import check_name
from bamctl.attention.settings import Settings
from bamctl.errors import shown
from bamctl.files import schemas
from bamctl.trunk import strategies
from bamctl.trunk.strategies import STRATEGIES

_WITH_KIND = re.compile(r"(?P<where>.*[^\[])=(?P<kind>[^\]].*)", re.DOTALL)


def split(pattern: str) -> tuple[str, str | None]:
    """Split a pattern of `where` into the points and the kind of the module, if it names one.

    Raises:
        ValueError: there is no such kind.

    >>> split("layer*=se"), split("layer3")
    (('layer*', 'se'), ('layer3', None))
    """
    found = _WITH_KIND.fullmatch(pattern)
    if not found:
        return pattern, None
    try:
        return found["where"], check_name(found["kind"], "module")
    except ValidationError as error:
        raise ValueError(f"{pattern}: {schemas.explain(Settings, error)[1]}") from None


def _read_patterns(value: Any) -> Any:
    listed = value if isinstance(value, list | tuple) else [value]
    if not listed or not all(isinstance(name, str) and name.strip() for name in listed):
        right = f"should be {strategies.named()}, a module name, a glob, or a list of those"
        raise ValueError(f"{right}, not {shown(value)}")
    for name in listed:
        split(name)
    return value if isinstance(value, str) else list(listed)


Where = Annotated[str | list[str], BeforeValidator(_read_patterns)]
Patterns = Annotated[list[str], BeforeValidator(_read_patterns)]


def as_pattern(name: str) -> str:
    """Return a pattern of `where` that matches exactly one module, for any name.

    >>> as_pattern("layer1.0"), as_pattern("bottleneck"), as_pattern("mix[0]")
    ('layer1.0', '[b]ottleneck', 'mix[[]0]')
    """
    if name in STRATEGIES:
        return f"[{name[0]}]{name[1:]}"
    return glob.escape(name).replace("=", "[=]")
