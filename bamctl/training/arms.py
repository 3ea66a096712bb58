"""The networks of a comparison: the baseline, each placement, and the controls."""

import copy
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from accelerate.utils import set_seed
from torch import Tensor, nn

from bamctl.attention import extra_block
from bamctl.attention.kinds import attention
from bamctl.errors import InputError
from bamctl.placement.cost import Cost, PlacementCost, place
from bamctl.placement.placement import Placement
from bamctl.placement.sites import Site, named
from bamctl.surgery.insert import insert_sites
from bamctl.tracing.trace import Trace, trace
from bamctl.training import _widening as widening
from bamctl.training._state import checksum
from bamctl.training.config import TrainingConfig
from bamctl.trunk.cut_points import Trunk
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import checkpoints

BASELINE = "baseline"


@dataclass(frozen=True)
class Arm:
    """One network of a comparison.

    `change` makes it of the baseline, in place; new weights are drawn from torch's random state.
    `added` is what it costs more than the baseline. `of` is the placement that a control belongs
    to. Where the arm has sites, `placement` has them written out, and `placed` what they cost.
    """

    name: str
    kind: str
    change: Callable[[nn.Module], None]
    added: Cost
    placement: Placement | None = None
    of: str | None = None
    placed: PlacementCost | None = None


@dataclass(frozen=True)
class Arms:
    """All networks of a comparison, and what a control could not be made for, with the reason."""

    trace: Trace
    trunk: Trunk
    arms: tuple[Arm, ...]
    missing: tuple[str, ...] = ()


class Networks:
    """Builds the networks, seed by seed; the pretrained weights are read once."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._state = _pretrained(config) if config.weights else None

    def baseline(self, seed: int) -> nn.Module:
        """The network without attention; the same seed gives the same weights.

        Raises:
            InputError: it cannot be built so, or the weights do not fit it.
        """
        config = self._config
        set_seed(seed_for(seed, "weights"))
        network = config.build()
        if self._state is not None:
            fitting = _without_head(self._state, network, config.num_classes)
            checkpoints.load_state(network, fitting)
        return network

    def of(self, arm: Arm, seed: int) -> nn.Module:
        """The network of an arm; the layers that it shares with the baseline start alike."""
        network = self.baseline(seed)
        set_seed(seed_for(seed, "attention"))
        arm.change(network)
        return network

    def fingerprint(self) -> int | None:
        """A checksum of the pretrained weights; None where there are none."""
        return None if self._state is None else checksum(self._state)

    def pretrained(self, network: nn.Module) -> frozenset[str]:
        """The parameters of a network that came from the weights."""
        if self._state is None:
            return frozenset()
        return frozenset(
            name
            for name, own in network.named_parameters()
            if name in self._state and self._state[name].shape == own.shape
        )


def seed_for(seed: int, *purpose: object) -> int:
    """A seed of 32 bits for one purpose, that has nothing to do with those for others.

    >>> seed_for(0, "weights") != seed_for(0, "attention")
    True
    """
    return zlib.crc32("/".join(map(str, (seed, *purpose))).encode())


def make_arms(config: TrainingConfig, network: nn.Module) -> Arms:
    """The arms of a comparison, on the network that it is about.

    Raises:
        InputError: the network does not classify, or a placement does not fit it or selects
            nothing there.
    """
    traced = TracedNetwork.of(network, config.input)
    check_classifies(config, traced.trace)
    arms = [Arm(BASELINE, "baseline", _nothing, Cost())]
    missing: list[str] = []
    for name, placement in config.placements.items():
        arm = _inserted(name, "placement", placement, traced)
        if not arm.placed or not arm.placed.sites:
            raise InputError(f"{name} selects no cut point of {config.model}; see `bamctl analyze`")
        arms.append(arm)
        for kind, make in _CONTROLS.items() if config.control else ():
            try:
                arms.append(make(arm, placement, traced))
            except InputError as error:
                missing.append(f"no {kind} control of {name}: {error}")
    return Arms(traced.trace, traced.trunk, tuple(arms), tuple(missing))


def check_classifies(config: TrainingConfig, traced: Trace) -> None:
    """Refuse a network that gives other things than a score for each class.

    Raises:
        InputError: it does.
    """
    scores = (1, config.num_classes)
    if traced.is_detector or scores not in [traced.shapes[each] for each in traced.outputs]:
        raise InputError(
            f"{config.model} gives no scores of {config.num_classes} classes for an image; only "
            "networks that classify are trained"
        )


def _nothing(network: nn.Module) -> None:
    """The baseline is the network itself."""


def _insert(sites: tuple[Site, ...], network: nn.Module) -> None:
    insert_sites(network, sites)


def _inserted(
    name: str, kind: str, placement: Placement, traced: TracedNetwork, of: str | None = None
) -> Arm:
    """An arm that is the baseline with what a placement inserts."""
    placed = place(placement, traced)
    pinned = named(placement, placed.sites)
    return Arm(name, kind, partial(_insert, placed.sites), placed.total, pinned, of, placed)


def _extra_block(arm: Arm, placement: Placement, traced: TracedNetwork) -> Arm:
    """One more of the network's own blocks at each site, as in the paper's table 1."""
    block = attention(module=extra_block.NAME, init=placement.attention.init)
    other = placement.model_copy(update={"attention": block, "insertions": {}})
    if placement.where is None:
        other = other.model_copy(update={"where": list(placement.patterns())})
    return _inserted(f"{arm.name}:{extra_block.NAME}", extra_block.NAME, other, traced, of=arm.name)


def _wider(arm: Arm, placement: Placement, traced: TracedNetwork) -> Arm:
    """The network itself, with as many parameters as the placement gives it."""
    hidden = widening.find_hidden(traced.network, traced.trace)
    if not hidden:
        raise InputError("no channels of the network run from one layer to just one other")
    counts = widening.plan(hidden, arm.added.params)
    keeps = placement.attention.init == "identity"
    change = partial(_widen, hidden, counts, keeps)
    return Arm(f"{arm.name}:wider", "wider", change, _grown(traced, change), of=arm.name)


def _widen(
    hidden: tuple[widening.HiddenChannels, ...],
    counts: tuple[int, ...],
    keep_outputs: bool,
    network: nn.Module,
) -> None:
    widening.widen(network, hidden, counts, keep_outputs=keep_outputs)


def _grown(traced: TracedNetwork, change: Callable[[nn.Module], None]) -> Cost:
    """Return what a change of the network adds, by a second trace."""
    changed, before = copy.deepcopy(traced.network), traced.trace
    change(changed)
    after = trace(changed, before.given)
    return Cost(
        params=after.params - before.params,
        macs=after.macs[""] - before.macs[""],
        elementwise_ops=after.elementwise_ops[""] - before.elementwise_ops[""],
    )


_CONTROLS = {extra_block.NAME: _extra_block, "wider": _wider}


def _pretrained(config: TrainingConfig) -> dict[str, Tensor]:
    assert config.weights is not None
    if Path(config.weights).exists():
        return checkpoints.read(Path(config.weights)).state
    if Path(config.weights).suffix:
        raise InputError(f"there is no file {config.weights}")
    # Published weights have classes of their own.
    published = config.spec.model_copy(update={"num_classes": None})
    return published.build(weights=config.weights).state_dict()


def _without_head(
    state: Mapping[str, Tensor], network: nn.Module, num_classes: int
) -> dict[str, Tensor]:
    """The weights, with a new head's own in place of those for other classes."""
    own = network.state_dict()

    def is_head(name: str) -> bool:
        old, new = state[name].shape, own[name].shape
        return bool(old != new and old[1:] == new[1:] and new[:1] == (num_classes,))

    return {
        name: own[name] if name in own and is_head(name) else tensor
        for name, tensor in state.items()
    }
