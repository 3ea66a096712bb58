"""Trial of a library's module on a map: what it does there, and what it costs."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bamctl import units
from bamctl.attention.cost import Cost
from bamctl.attention.settings import Settings
from bamctl.errors import InputError, check_machine, described, let_through
from bamctl.networks.memory import kept_anywhere, on_meta
from bamctl.tracing.trace import trace
from bamctl.trunk.feature_maps import FeatureMap

if TYPE_CHECKING:
    from bamctl.attention.wrapped.kind import WrappedKind


@dataclass(frozen=True)
class Manner:
    """What a module does with a map.

    `by_frame` is true if it takes images only and the map is of a video; `changes_input` if it
    writes to its input. `shapes` are those of its parameters and buffers.
    """

    by_frame: bool
    changes_input: bool
    shapes: tuple[tuple[str, tuple[int, ...]], ...]


def tried(kind: "WrappedKind", settings: Settings, at: FeatureMap) -> Manner:
    """Run a module once on a map of zeros, and return what it does.

    Raises:
        InputError: it cannot be built, does not run on the map, or changes its shape.
    """
    return _tried(kind, settings.model_copy(update={"init": "kaiming"}), at)


@lru_cache(maxsize=4096)
def _tried(kind: "WrappedKind", settings: Settings, at: FeatureMap) -> Manner:
    # Drawing its weights must not change those that are drawn later.
    with torch.random.fork_rng(devices=[]):
        module = kind.make(at.num_channels, settings, at)
    extents = at.extents
    if len(extents) == 3 and kind.knows_video:
        with suppress(InputError):
            return _on_maps(kind, module, at, extents)
    return _on_maps(kind, module, at, extents[-2:])


def _on_maps(
    kind: "WrappedKind", module: nn.Module, at: FeatureMap, extents: tuple[int, ...]
) -> Manner:
    return Manner(
        by_frame=extents != at.extents,
        changes_input=_changes_input(kind, module, at, extents),
        shapes=tuple((name, tuple(each.shape)) for name, each in module.state_dict().items()),
    )


@lru_cache(maxsize=4096)
def starts_as_identity(kind: "WrappedKind", settings: Settings, at: FeatureMap) -> bool:
    """Return whether a module as it is initialized returns a map unchanged, bit for bit.

    That is so where a last layer is initialized with zeros. A second factor of zero in front of it
    would leave both without a gradient.
    """
    extents = at.extents[-2:] if tried(kind, settings, at).by_frame else at.extents
    shape = (1, at.num_channels, *extents)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        return torch.equal(kind.make(at.num_channels, settings, at).eval()(x.clone()), x)


def _changes_input(
    kind: "WrappedKind", module: nn.Module, at: FeatureMap, extents: tuple[int, ...]
) -> bool:
    """Run a module on a map of zeros, and return whether it wrote to it."""
    shape = (2, at.num_channels, *extents)
    x, result = _run(kind, module, shape)
    if not isinstance(result, Tensor):
        raise InputError(
            f"{kind.name} returns a {type(result).__name__} for a map of {units.shape(shape[1:])}, "
            "not a map"
        )
    if result.shape != x.shape:
        raise InputError(
            f"{kind.name} changes the shape of a map from {units.shape(shape[1:])} to "
            f"{units.shape(tuple(result.shape[1:]))}; an attention module must keep it"
        )
    return x._version > 0


def _run(kind: "WrappedKind", module: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, object]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        with suppress(Exception):  # An operator without a kernel for the meta device, for one.
            x = torch.zeros(shape, device="meta")
            return x, on_meta(module).eval()(x)
        was_training = module.training
        x = torch.zeros(shape)
        try:
            return x, module.eval()(x)
        except (Exception, SystemExit) as error:  # whatever user code raises
            let_through(error)
            what = f"{kind.name} cannot run on a map of {units.shape(shape[1:])}"
            check_machine(error, what)
            raise InputError(f"{what}: {described(error)}") from error
        finally:
            module.train(was_training)


class _Repeated(nn.Module):
    """Applies a module to a map that is repeated along the batch."""

    def __init__(self, module: nn.Module, times: int) -> None:
        super().__init__()
        self.module = module
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module to a batch of equal maps."""
        result: Tensor = self.module(x.expand(self.times, *x.shape[1:]))
        return result


@lru_cache(maxsize=4096)
def traced_cost(
    kind: "WrappedKind", settings: Settings, at: FeatureMap, dtype: torch.dtype
) -> Cost:
    """Return the cost of a module at a map, by a trace of it alone.

    Raises:
        InputError: the module cannot be traced.
    """
    with torch.random.fork_rng(devices=[]):
        module = kind.built(settings, at).to(dtype).eval()
        found = trace(_Repeated(module, at.batch) if at.batch > 1 else module, at.shape)
    return Cost(
        params=found.params,
        macs=found.macs[""],
        elementwise_ops=found.elementwise_ops[""],
        memory_bytes=at.batch * kept_anywhere(module, at.shape),
        uncounted=Counter(found.uncounted),
    )
