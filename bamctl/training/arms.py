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
from bamctl.placement.patterns import as_pattern
from bamctl.placement.placement import Placement
from bamctl.placement.sites import Site, named
from bamctl.placement.warnings import site_warnings
from bamctl.surgery.insert import insert_sites
from bamctl.tracing.trace import Trace, trace
from bamctl.training import _widening as widening
from bamctl.training._state import MODEL, State, checksum, with_prefix
from bamctl.training.config import TrainingConfig
from bamctl.training.tasks.tasks import task_named
from bamctl.trunk.cut_points import Trunk
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import checkpoints

BASELINE = "baseline"


@dataclass(frozen=True)
class Arm:
    """One network of a comparison.

    `change` turns the baseline into it, in place; new weights are drawn from torch's random state.
    `added` is its cost on top of the baseline's. `of` is the arm that a control belongs to. If the
    arm has sites, `placement` lists them, and `placed` has their costs.
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
    """All networks of a comparison.

    `missing` lists impossible controls, with the reason; `warnings` say what modules cannot do on
    their maps.
    """

    trace: Trace
    trunk: Trunk
    arms: tuple[Arm, ...]
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Networks:
    """Builder of the networks for each seed; pretrained weights are read once."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._state = _pretrained(config) if config.weights else None

    def baseline(self, seed: int) -> nn.Module:
        """Build the network without attention; its weights are a function of the seed.

        Raises:
            InputError: it cannot be built with these options, or the weights do not fit it.
        """
        config = self._config
        set_seed(seed_for(seed, "weights"))
        network = config.build()
        if self._state is not None:
            fitting = _without_head(self._state, network, config.num_classes)
            checkpoints.load_state(network, fitting)
        return network

    def of(self, arm: Arm, seed: int, trunk: State | None = None) -> nn.Module:
        """Build the network of an arm; layers shared with the baseline have its weights.

        These are the initial ones, or those of the trunk.
        """
        network = self.baseline(seed)
        if trunk is not None:
            network.load_state_dict(with_prefix(trunk.tensors, MODEL))
        set_seed(seed_for(seed, "attention"))
        arm.change(network)
        return network

    def fingerprint(self) -> int | None:
        """Return a checksum of the pretrained weights, or None without them."""
        return None if self._state is None else checksum(self._state)

    def pretrained(self, network: nn.Module, trunk: State | None = None) -> frozenset[str]:
        """Return the names of a network's parameters that come from weights or from a trunk."""
        if trunk is not None:
            return frozenset(trunk.values["parameters"])
        if self._state is None:
            return frozenset()
        return frozenset(
            name
            for name, own in network.named_parameters()
            if name in self._state and self._state[name].shape == own.shape
        )


def seed_for(seed: int, *purpose: object) -> int:
    """Return a 32-bit seed for one purpose, independent of those for others.

    >>> seed_for(0, "weights") != seed_for(0, "attention")
    True
    """
    return zlib.crc32("/".join(map(str, (seed, *purpose))).encode())


def make_arms(config: TrainingConfig, network: nn.Module) -> Arms:
    """Build the arms of a comparison.

    Raises:
        InputError: the network does not answer as the task needs it, or a placement does not fit
            it or selects no cut point.
    """
    traced = TracedNetwork.of(network, config.input)
    check_answers(config, traced.trace)
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
                missing.append(f"no {kind} control for {name}: {error}")
    sites = dict.fromkeys(site for arm in arms if arm.placed for site in arm.placed.sites)
    warned = site_warnings(sites, model=config.model, stem=config.stem, network=network)
    return Arms(traced.trace, traced.trunk, tuple(arms), tuple(missing), tuple(warned))


def check_answers(config: TrainingConfig, traced: Trace) -> None:
    """Raise unless a network answers as the task needs it; a loop of one's own may do anything.

    Raises:
        InputError: it does not.
    """
    if config.loop is None:
        task_named(config.task).check(config, traced)


def _nothing(network: nn.Module) -> None:
    """Leave the network as it is: the change of the baseline."""


def _insert(sites: tuple[Site, ...], network: nn.Module) -> None:
    insert_sites(network, sites)


def _inserted(
    name: str, kind: str, placement: Placement, traced: TracedNetwork, of: str | None = None
) -> Arm:
    """Return an arm with the attention of a placement."""
    placed = place(placement, traced)
    pinned = named(placement, placed.sites)
    return Arm(name, kind, partial(_insert, placed.sites), placed.total, pinned, of, placed)


def _extra_block(arm: Arm, placement: Placement, traced: TracedNetwork) -> Arm:
    """Return the control with one more of the network's blocks at each site (paper, table 1)."""
    assert arm.placed is not None
    block = attention(module=extra_block.NAME, init=placement.attention.init)
    points = dict.fromkeys(site.point.module for site in arm.placed.sites)
    where = [as_pattern(name) for name in points]
    other = placement.model_copy(update={"attention": block, "insertions": {}, "where": where})
    return _inserted(f"{arm.name}:{extra_block.NAME}", extra_block.NAME, other, traced, of=arm.name)


def _wider(arm: Arm, placement: Placement, traced: TracedNetwork) -> Arm:
    """Return the control without attention, widened to the parameters of the placement's arm."""
    hidden = widening.find_hidden(traced.network, traced.trace)
    if not hidden:
        raise InputError("no channels connect exactly one layer to exactly one other")
    counts = widening.plan(hidden, arm.added.params)
    assert arm.placed is not None
    keeps = all(site.attention.init == "identity" for site in arm.placed.sites)
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
    """Return the added cost of a change of the network, by a second trace."""
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
    # Published weights have the classes that they were trained on.
    published = config.spec.model_copy(update={"num_classes": None})
    return published.build(weights=config.weights).state_dict()


def _without_head(
    state: Mapping[str, Tensor], network: nn.Module, num_classes: int | None
) -> dict[str, Tensor]:
    """Return the weights, except a head for other classes, whose initial weights are kept."""
    own = network.state_dict()

    def is_head(name: str) -> bool:
        old, new = state[name].shape, own[name].shape
        return bool(old != new and old[1:] == new[1:] and new[:1] == (num_classes,))

    return {
        name: own[name] if name in own and is_head(name) else tensor
        for name, tensor in state.items()
    }
