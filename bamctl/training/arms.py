"""The networks of a comparison: the baseline, each placement, and the controls."""

import copy
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from accelerate.utils import set_seed
from torch import Tensor, nn

from bamctl import checkpoints, models, widening
from bamctl.cost import Cost, PlacementCost, placement_cost
from bamctl.cut_points import Trunk
from bamctl.errors import InputError
from bamctl.hyperparameters import Attention
from bamctl.placement import Placement
from bamctl.sites import Site, named, resolve
from bamctl.surgery import insert_sites
from bamctl.tracing import Trace, trace
from bamctl.training.config import TrainingConfig
from bamctl.training.state import checksum
from bamctl.trunk import find_trunk

Kind = Literal["baseline", "placement", "extra-block", "wider"]

BASELINE = "baseline"


@dataclass(frozen=True)
class Arm:
    """One network of a comparison.

    `change` makes it of the baseline, in place; new weights are drawn from torch's random state.
    `added` is what it costs more than the baseline. `of` is the placement that a control belongs
    to. Where the arm has sites, `placement` has them written out, and `placed` what they cost.
    """

    name: str
    kind: Kind
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
        network = models.build(
            config.model,
            inputs=config.input,
            num_classes=config.num_classes,
            stem=config.stem,
            args=config.args,
        )
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
    traced = trace(network, config.input)
    check_classifies(config, traced)
    trunk = find_trunk(network, traced)
    arms = [Arm(BASELINE, "baseline", _nothing, Cost())]
    missing: list[str] = []
    for name, placement in config.placements.items():
        sites = resolve(placement, trunk)
        if not sites:
            raise InputError(f"{name} selects no cut point of {config.model}; see `bamctl analyze`")
        placed = placement_cost(sites, network, traced)
        added, pinned = placed.total, named(placement, sites)
        change = partial(_insert, sites)
        arms.append(Arm(name, "placement", change, added, pinned, placed=placed))
        if not config.control:
            continue
        for kind, make in _CONTROLS.items():
            try:
                control = make(name, added, placement, network, traced)
            except InputError as error:
                missing.append(f"no {kind} control of {name}: {error}")
            else:
                arms.append(control)
    return Arms(traced, trunk, tuple(arms), tuple(missing))


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


def _extra_block(
    name: str, added: Cost, placement: Placement, network: nn.Module, traced: Trace
) -> Arm:
    """One more of the network's own blocks at each site, as in the paper's table 1."""
    attention = Attention(module="extra-block", init=placement.attention.init)
    other = placement.model_copy(update={"attention": attention, "insertions": {}})
    if placement.where is None:
        other = other.model_copy(update={"where": list(placement.patterns())})
    trunk = find_trunk(network, traced)
    sites = resolve(other, trunk)
    placed = placement_cost(sites, network, traced)
    change, pinned = partial(_insert, sites), named(other, sites)
    return Arm(f"{name}:extra-block", "extra-block", change, placed.total, pinned, name, placed)


def _wider(name: str, added: Cost, placement: Placement, network: nn.Module, traced: Trace) -> Arm:
    """The network itself, with as many parameters as the placement gives it."""
    hidden = widening.find_hidden(network, traced)
    if not hidden:
        raise InputError("no channels of the network run from one layer to just one other")
    counts = widening.plan(hidden, added.params)
    keeps = placement.attention.init == "identity"
    change = partial(_widen, hidden, counts, keeps)
    grown = _grown(network, change, traced)
    return Arm(f"{name}:wider", "wider", change, grown, of=name)


def _widen(
    hidden: tuple[widening.HiddenChannels, ...],
    counts: tuple[int, ...],
    keep_outputs: bool,
    network: nn.Module,
) -> None:
    widening.widen(network, hidden, counts, keep_outputs=keep_outputs)


def _grown(network: nn.Module, change: Callable[[nn.Module], None], before: Trace) -> Cost:
    """What a change of the network adds, by a second trace."""
    changed = copy.deepcopy(network)
    change(changed)
    after = trace(changed, before.given)
    return Cost(
        params=after.params - before.params,
        macs=after.macs[""] - before.macs[""],
        elementwise_ops=after.elementwise_ops[""] - before.elementwise_ops[""],
    )


_CONTROLS = {"extra-block": _extra_block, "wider": _wider}


def _pretrained(config: TrainingConfig) -> dict[str, Tensor]:
    assert config.weights is not None
    if Path(config.weights).exists():
        return checkpoints.read(Path(config.weights)).state
    if Path(config.weights).suffix:
        raise InputError(f"there is no file {config.weights}")
    published = models.build(
        config.model,
        inputs=config.input,
        stem=config.stem,
        args=config.args,
        weights=config.weights,
    )
    return published.state_dict()


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
