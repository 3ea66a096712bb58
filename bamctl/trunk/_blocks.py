"""Blocks: the modules of a network between which attention is placed."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from torch import nn

from bamctl.trunk.feature_maps import FeatureMap

# A side of the map that shrinks by this factor starts a new stage; a trimmed pixel does not.
STAGE_DROP = 1.5

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_CONVOLUTION = nn.modules.conv._ConvNd


class Blocks:
    """The blocks among the modules whose outputs are trunk maps.

    A block is a composite module with two or more layers that lowers the resolution at most once
    and is no series of composite modules of one class. Of nested blocks, the outermost counts.

    Args:
        model: the network.
        ended: the trunk map that each module returns, by the name of the module.
        taken: the map that is the first input of a module, by the name of the module.
        maps: the trunk maps in the order of the forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        ended: Mapping[str, int],
        taken: Mapping[str, FeatureMap],
        maps: Mapping[int, FeatureMap],
    ) -> None:
        self._model = model
        self._ended = ended
        self._taken = taken
        self._maps = maps
        self._order = {value: index for index, value in enumerate(maps)}
        self._composite = [name for name in ended if is_composite(model.get_submodule(name))]
        self._held = self._count_held(self._composite)
        self._inside = self._values_inside()

    def find(self) -> frozenset[str]:
        """Return the names of the blocks."""
        never_in_series = self._jumped_over()
        single = {
            name
            for name in self._composite
            if not self._spans_stages(name)
            and (
                max(self._held[name].values(), default=0) < 2
                or type(self._model.get_submodule(name)) in never_in_series
            )
        }
        return frozenset(name for name in single if single.isdisjoint(_ancestors(name)))

    def _count_held(self, names: Sequence[str]) -> dict[str, Counter[type]]:
        """Count the composite modules inside each module that return trunk maps too, by class."""
        held: dict[str, Counter[type]] = {name: Counter() for name in names}
        for name in names:
            for outer in _ancestors(name):
                if outer in held:
                    held[outer][type(self._model.get_submodule(name))] += 1
        return held

    def _jumped_over(self) -> set[type]:
        """Return the classes that have a skip connection over their parts in at least one place.

        An inverted residual without a skip connection, as where it changes the resolution, is a
        series of layers, and a block nevertheless.
        """
        classes: set[type] = set()
        for name in self._composite:
            if self._held[name]:
                continue
            module = self._model.get_submodule(name)
            hidden = Counter(
                type(part) for part in module.modules() if part is not module and is_composite(part)
            )
            if max(hidden.values(), default=0) >= 2:
                classes.add(type(module))
        return classes

    def _values_inside(self) -> dict[str, set[int]]:
        """Return the trunk maps that each module and those inside it return."""
        inside: dict[str, set[int]] = {name: set() for name in self._composite}
        for name, value in self._ended.items():
            for outer in (name, *_ancestors(name)):
                if outer in inside:
                    inside[outer].add(value)
        return inside

    def _spans_stages(self, name: str) -> bool:
        """Return whether the resolution drops more than once inside a module."""
        maps = [self._taken[name]] if name in self._taken else []
        inside = sorted(self._inside[name], key=self._order.__getitem__)
        maps += [self._maps[value] for value in inside]
        return sum(drop(one, next_) >= STAGE_DROP for one, next_ in pairwise(maps)) > 1


def is_composite(module: nn.Module) -> bool:
    """Return whether a module has a forward of its own and contains two layers or more."""
    if type(module) in _CONTAINERS or type(module).forward is nn.Module.forward:
        return False
    return num_layers(module) >= 2


def num_layers(module: nn.Module) -> int:
    """Return the number of convolution and linear layers in a module.

    Convolutions along different axes, such as 1x3x3 and 3x1x1, count as one factorized layer.
    """
    pointwise, along = 0, Counter[int]()
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTION):
            axes = [axis for axis, size in enumerate(layer.kernel_size) if size > 1]
            along.update(axes)
            pointwise += not axes
        elif isinstance(layer, nn.Linear):
            pointwise += 1
    return pointwise + max(along.values(), default=0)


def has_kernel(module: nn.Module) -> bool:
    """Return whether a module has a convolution larger than 1x1."""
    kernels = (layer.kernel_size for layer in module.modules() if isinstance(layer, _CONVOLUTION))
    return any(size > 1 for kernel in kernels for size in kernel)


def listed_stages(model: nn.Module, blocks: Collection[str]) -> frozenset[str]:
    """Return containers of plain layers that are siblings of blocks or of containers of blocks.

    The first stages of MobileNetV4-small are plain convolutions; they are siblings of its stages in
    a list, and so are stages and not a stem.
    """
    lists = {parent for name in blocks for parent in _ancestors(name)}
    return frozenset(
        f"{name}.{child}"
        for name in lists
        if type(model.get_submodule(name)) in _CONTAINERS
        for child, module in model.get_submodule(name).named_children()
        if f"{name}.{child}" not in lists
        and type(module) in _CONTAINERS
        and num_layers(module) >= 2
    )


def drop(before: FeatureMap, after: FeatureMap) -> float:
    """Return the factor by which height or width shrinks, whichever shrinks more."""
    return max(before.height / after.height, before.width / after.width)


def _ancestors(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
