"""Warnings about modules that cannot do on their maps what their settings ask for."""

from collections.abc import Iterable

from torch import nn

from bamctl.attention.kinds import kind_of
from bamctl.networks import models
from bamctl.placement.sites import Site

# The convolution and the pooling that a small stem replaces have stride 2 each.
_LARGER = 4


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
    for site in sites:
        text = kind_of(site.attention).warning(site)
        if text is not None:
            found.setdefault(text, []).append(site.point.module)
    may_be_larger = stem is None and models.takes_small_stem(model, network)
    cure = f" `--stem small` makes maps {_LARGER} times as high and wide." if may_be_larger else ""
    return [f"At {', '.join(modules)}: {text}.{cure}" for text, modules in found.items()]
