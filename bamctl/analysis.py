"""The analysis of a network: its stages, and what attention costs at each point and strategy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from bamctl import models
from bamctl.attention.settings import Settings
from bamctl.cost import Cost, PlacementCost, placement_cost
from bamctl.cut_points import CutPoint, Trunk
from bamctl.errors import InputError
from bamctl.inputs import Inputs, InputsLike, read
from bamctl.placement import STRATEGIES, Placement, Stages, as_pattern
from bamctl.sites import Site, resolve
from bamctl.tracing import Trace, trace
from bamctl.trunk import find_trunk
from bamctl.trust import trust


@dataclass(frozen=True)
class Analysis:
    """What `analyze` found, for one image of `trace.input_shape`.

    `point_costs` has what the attention module adds at each point of the trunk, or why it cannot
    be there; `strategies` has what the paper's two ways of placing it add.
    """

    model: str
    trace: Trace
    trunk: Trunk
    attention: Settings
    stages: Stages
    point_costs: dict[str, Cost | str]
    strategies: dict[str, PlacementCost]


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
            network. A network given is left as it was found.
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
        {"attention": attention or {}, "stages": stages, "input": input_shape}
    )
    if isinstance(model, str):
        trust(model)
        given = placement.input or models.default_inputs(models.check_name(model))
        network = models.build(
            model,
            inputs=given,
            num_classes=num_classes,
            stem=stem,
            args=args,
            initialize=False,
        )
        return analyze_network(model, network, placement, given)
    if num_classes is not None or stem is not None or args:
        raise InputError("num_classes, stem and args are for builders; it is built already")
    given = placement.input or read((3, 224, 224))
    return analyze_network(type(model).__name__, model, placement, given)


def analyze_network(name: str, model: nn.Module, placement: Placement, given: Inputs) -> Analysis:
    """Analyse a network that is built already; `analyze` says what comes back."""
    traced = trace(model, given)
    trunk = find_trunk(model, traced)
    return Analysis(
        model=name,
        trace=traced,
        trunk=trunk,
        attention=placement.attention,
        stages=placement.stages,
        point_costs={
            point.module: _point_cost(point, placement, trunk, model, traced)
            for point in trunk.points
        },
        strategies={
            strategy: _strategy_cost(strategy, placement, trunk, model, traced)
            for strategy in STRATEGIES
        },
    )


def shown_sites(analysis: Analysis) -> tuple[Site, ...]:
    """A site at the end of each stage, and those of the strategies, where a module can be."""
    ends = [stage.end.module for stage in analysis.trunk.stages]
    placed = [name for each in analysis.strategies.values() for name in each.modules]
    possible = [n for n in {*ends, *placed} if isinstance(analysis.point_costs.get(n), Cost)]
    if not possible:
        return ()
    where = [as_pattern(name) for name in possible]
    return resolve(Placement(attention=analysis.attention, where=where), analysis.trunk)


def _strategy_cost(
    strategy: str, placement: Placement, trunk: Trunk, model: nn.Module, traced: Trace
) -> PlacementCost:
    try:
        sites = resolve(placement.model_copy(update={"where": strategy}), trunk)
    except InputError as error:
        return PlacementCost((), (), unavailable=str(error))
    return placement_cost(sites, model, traced)


def _point_cost(
    point: CutPoint, placement: Placement, trunk: Trunk, model: nn.Module, traced: Trace
) -> Cost | str:
    found = _strategy_cost(as_pattern(point.module), placement, trunk, model, traced)
    return found.unavailable or found.total
