"""Analysis of a network: its stages, and the cost of attention by cut point and strategy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from bamctl.attention.kinds import kind_of
from bamctl.attention.settings import Settings
from bamctl.errors import InputError
from bamctl.networks.inputs import InputsLike
from bamctl.networks.trust import trust
from bamctl.placement.cost import Cost, PlacementCost, place
from bamctl.placement.patterns import as_pattern
from bamctl.placement.placement import Placement, Stages
from bamctl.placement.requested import trust_named
from bamctl.placement.sites import Site, resolve
from bamctl.placement.warnings import site_warnings
from bamctl.results import Displayed
from bamctl.tracing.trace import Trace
from bamctl.trunk.cut_points import CutPoint, Trunk
from bamctl.trunk.strategies import STRATEGIES, of_paper
from bamctl.trunk.traced import TracedNetwork


@dataclass(frozen=True)
class Analysis(Displayed):
    """The result of `analyze`, for one image of `trace.input_shape`.

    `point_costs` has the cost of the attention module at each cut point, or why it cannot be
    inserted there; `strategies` has the cost of its placement by each of `STRATEGIES`. `warnings`
    say what the module cannot do on the maps of these sites.
    """

    model: str
    trace: Trace
    trunk: Trunk
    attention: Settings
    stages: Stages
    point_costs: dict[str, Cost | str]
    strategies: dict[str, PlacementCost]
    warnings: tuple[str, ...] = ()


def analyze(
    model: str | nn.Module,
    *,
    input_shape: InputsLike | None = None,
    attention: Settings | Mapping[str, Any] | None = None,
    stages: Stages = 3,
    num_classes: int | None = None,
    stem: str | None = None,
    args: Mapping[str, Any] | None = None,
) -> Analysis:
    """Find where an attention module goes in a network, and what it costs there.

    Args:
        model: the name of a torchvision builder, `timm:NAME`, `package.module:factory`, or any
            network, which is left unchanged.
        input_shape: channels, height and width (of a video: channels, frames, height and width),
            or a list of shapes, one for each argument; left out, what the named network's weights
            expect, or 3x224x224.
        attention: module and hyperparameters, as under `attention` in a placement.
        stages: how many bottlenecks, counted from the deepest, or `all`.
        num_classes: classes of the head, for a builder.
        stem: `small` for images of about 32x32, for a builder.
        args: more keyword arguments for a builder or factory.

    Raises:
        InputError: the network is unknown or cannot run on the input, or an option is wrong.

    >>> found = analyze("resnet18", input_shape=(3, 64, 64))
    >>> found.strategies["bottleneck"].modules
    ['layer1', 'layer2', 'layer3']
    >>> found.strategies["bottleneck"].total.params
    23669
    """
    placement = Placement.from_options(
        {
            "attention": attention or {},
            "stages": stages,
            "input": input_shape,
            "num_classes": num_classes,
            "stem": stem,
        }
    )
    trust_named(attention)
    if isinstance(model, str):
        trust(model)
        # Unlike in a file, an argument may be any object here, such as a layer class.
        placement = placement.model_copy(update={"model": model, "args": dict(args or {})})
        return analyze_network(model, TracedNetwork.load(placement), placement)
    if num_classes is not None or stem is not None or args:
        raise InputError("num_classes, stem and args are for builders; it is built already")
    traced = TracedNetwork.of(model, placement.input or (3, 224, 224))
    return analyze_network(type(model).__name__, traced, placement)


def analyze_network(name: str, traced: TracedNetwork, placement: Placement) -> Analysis:
    """Analyse a traced network; `analyze` describes the result."""
    kind_of(placement.attention).check()
    strategies = {each: _placed(each, placement, traced) for each in STRATEGIES}
    sites = dict.fromkeys(site for name in of_paper() for site in strategies[name].sites)
    return Analysis(
        model=name,
        trace=traced.trace,
        trunk=traced.trunk,
        attention=placement.attention,
        stages=placement.stages,
        point_costs={
            point.module: _point_cost(point, placement, traced) for point in traced.trunk.points
        },
        strategies=strategies,
        warnings=tuple(
            site_warnings(sites, model=name, stem=placement.stem, network=traced.network)
        ),
    )


def shown_sites(analysis: Analysis) -> tuple[Site, ...]:
    """Return the possible sites among the ends of stages and the placements of the strategies."""
    ends = [stage.end.module for stage in analysis.trunk.stages]
    placed = [name for each in analysis.strategies.values() for name in each.modules]
    possible = [n for n in {*ends, *placed} if isinstance(analysis.point_costs.get(n), Cost)]
    if not possible:
        return ()
    where = [as_pattern(name) for name in possible]
    return resolve(Placement(attention=analysis.attention, where=where), analysis.trunk)


def _placed(where: str, placement: Placement, traced: TracedNetwork) -> PlacementCost:
    try:
        return place(placement.model_copy(update={"where": where}), traced)
    except InputError as error:
        return PlacementCost((), (), unavailable=str(error))


def _point_cost(point: CutPoint, placement: Placement, traced: TracedNetwork) -> Cost | str:
    found = _placed(as_pattern(point.module), placement, traced)
    return found.unavailable or found.total
