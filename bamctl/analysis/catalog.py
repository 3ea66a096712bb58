"""Catalog of torchvision's networks, with their published figures."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bamctl.errors import InputError, did_you_mean
from bamctl.networks import torchvision_models
from bamctl.networks.inputs import Inputs
from bamctl.networks.spec import NetworkSpec
from bamctl.trunk.traced import TracedNetwork


@dataclass(frozen=True)
class ModelEntry:
    """A builder, with the published figures of its default weights.

    `num_bottlenecks`, over all stages, and `num_blocks` are None unless they are counted.
    """

    name: str
    family: str
    params: int
    macs: int
    inputs: Inputs
    num_bottlenecks: int | None = None
    num_blocks: int | None = None


def matching(pattern: str, family: str | None = None) -> tuple[str, ...]:
    """Return the names of the models that match a glob.

    Args:
        pattern: a glob, such as `resnet*`.
        family: `classification`, `detection`, ...; all if left out.

    Raises:
        InputError: it matches none.
    """
    known = torchvision_models.families()
    found = tuple(
        name for name, own in known.items() if fnmatchcase(name, pattern) and family in (None, own)
    )
    if not found:
        among = f" of family {family}" if family else ""
        raise InputError(f"no model{among} matches {pattern!r}{did_you_mean(pattern, known)}")
    return found


def entries(names: tuple[str, ...], *, count: bool) -> Iterator[ModelEntry]:
    """Yield the entry of each model; `count` traces it to count its bottlenecks and blocks."""
    for name in names:
        published = torchvision_models.published(name)
        inputs = torchvision_models.default_inputs(name)
        bottlenecks, blocks = _count(name) if count else (None, None)
        yield ModelEntry(
            name=name,
            family=torchvision_models.families()[name],
            params=published["num_params"],
            macs=round(published["_ops"] * 1e9),
            inputs=inputs,
            num_bottlenecks=bottlenecks,
            num_blocks=blocks,
        )


def _count(name: str) -> tuple[int, int]:
    trunk = TracedNetwork.load(NetworkSpec(model=name)).trunk
    return len(trunk.bottlenecks("all")), len(trunk.blocks)
