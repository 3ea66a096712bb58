"""Warnings about modules that cannot do on their maps what their settings ask for."""

from collections.abc import Iterable

from torch import nn

from bamctl.attention.kinds import kind_of
from bamctl.networks import models
from bamctl.placement.sites import Site

# The convolution and the pooling that a small stem replaces have stride 2 each.
_LARGER = 4
_STEM = f"; `--stem small` makes the maps {_LARGER} times as high and wide, which is enough"


def site_warnings(
    sites: Iterable[Site], *, model: str, stem: str | None, network: nn.Module
) -> list[str]:
    """Return a warning for each kind of problem, with the sites that have it.

    Args:
        sites: where modules are inserted.
        model: the name of the network.
        stem: its stem, as for `NetworkSpec`.
        network: the network.
    """
    found: dict[str, list[str]] = {}
    may_be_larger = stem is None and models.takes_small_stem(model, network)
    for site in sites:
        kind = kind_of(site.attention)
        text = kind.warning(site)
        if text is not None:
            helps = may_be_larger and kind.warning(site, enlarged=_LARGER) is None
            found.setdefault(f"{text}{_STEM if helps else ''}", []).append(site.name)
    return [f"At {', '.join(modules)}: {text}." for text, modules in found.items()]
