"""The networks that can be analysed, with what is known of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bamctl import models
from bamctl.cut_points import find_trunk
from bamctl.errors import InputError, did_you_mean
from bamctl.tracing import trace


@dataclass(frozen=True)
class ModelEntry:
    """A builder with the published figures of its default weights.

    `num_bottlenecks`, counting every stage, and `num_blocks` are None until they are counted.
    """

    name: str
    params: int
    macs: int
    input_shape: tuple[int, int, int]
    num_bottlenecks: int | None = None
    num_blocks: int | None = None


def matching(pattern: str) -> tuple[str, ...]:
    """The names of the models that a glob matches.

    Raises:
        InputError: it matches none.
    """
    known = models.names()
    found = tuple(name for name in known if fnmatchcase(name, pattern))
    if not found:
        raise InputError(f"no model matches {pattern!r}{did_you_mean(pattern, known)}")
    return found


def entries(names: tuple[str, ...], *, count: bool) -> Iterator[ModelEntry]:
    """What is known of each model; `count` traces it to count its bottlenecks and blocks."""
    for name in names:
        published = models.published(name)
        shape = models.default_input_shape(name)
        bottlenecks, blocks = _count(name, shape) if count else (None, None)
        macs = round(published["_ops"] * 1e9)
        yield ModelEntry(name, published["num_params"], macs, shape, bottlenecks, blocks)


def _count(name: str, shape: tuple[int, int, int]) -> tuple[int, int]:
    network = models.build(name, input_shape=shape, initialize=False)
    trunk = find_trunk(network, trace(network, shape))
    return len(trunk.bottlenecks("all")), len(trunk.blocks)
