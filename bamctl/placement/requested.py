"""The placement that a caller requests: a base, a network and options."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bamctl.attention.settings import Settings
from bamctl.errors import InputError
from bamctl.networks import models, trust
from bamctl.placement.patterns import split
from bamctl.placement.placement import Placement
from bamctl.placement.shipped import find


def trust_named(
    attention: Settings | Mapping[str, Any] | None = None, where: str | Sequence[str] | None = None
) -> None:
    """Allow the factories of attention modules that a caller names, and no file.

    Args:
        attention: settings, or a mapping of them.
        where: patterns.
    """
    own = attention.module if isinstance(attention, Settings) else (attention or {}).get("module")
    patterns = [where] if isinstance(where, str) else where or ()
    trust.trust(*([own] if isinstance(own, str) else []))
    for pattern in patterns:
        # What is invalid is reported where it is validated.
        with suppress(ValueError):
            trust.trust(*filter(None, [split(pattern)[1]]))


def of_network(
    model: str | None, base: Placement | str | Path | None, options: Mapping[str, Any]
) -> Placement:
    """Return a placement with its network.

    Args:
        model: the name of the network. Default: that of `base`.
        base: a placement, the name of a shipped one, or a file.
        options: keys of a placement that update `base`, as in `Placement.with_options`.

    Raises:
        InputError: no network is named, the network does not exist, only a file names a factory
            that is not trusted, or a value is invalid.
    """
    placement = base if isinstance(base, Placement) else find(base) if base else Placement()
    if isinstance(base, str | Path):
        placement.check_named_by(Path(base), with_network=model is None)
    placement = placement.with_options(options)
    name = model or placement.model
    if name is None:
        raise InputError("no model: name one, or a placement that does")
    return placement.model_copy(update={"model": models.check_name(name)})
