"""Insertion of attention modules into a network, and removal."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bamctl.attention.kinds import kind_of
from bamctl.errors import InputError
from bamctl.networks import example, wrappers
from bamctl.networks.inputs import Inputs, InputsLike, read
from bamctl.networks.inserted import HOLDER, Inserted, attach, detach, detached, is_attached
from bamctl.networks.restoring import left_as_found
from bamctl.networks.structures import tensors
from bamctl.networks.trust import trust
from bamctl.placement.patterns import split
from bamctl.placement.placement import Placement
from bamctl.placement.shipped import find
from bamctl.placement.sites import Site, resolve
from bamctl.trunk.cut_points import Trunk
from bamctl.trunk.strategies import STRATEGIES
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import checkpoints

Model = TypeVar("Model", bound=nn.Module)


def insert(
    model: Model,
    placement: Placement | Mapping[str, Any] | str | Path = "bottleneck",
    *,
    input_shape: InputsLike | None = None,
    optimizers: Optimizer | Sequence[Optimizer] = (),
) -> Model:
    """Insert attention modules into a network, in place, and return it.

    The modules are registered in the submodule `inserted`; all existing parameters and buffers keep
    their names and values. New modules get the network's mode, dtype, device and memory format.
    `init=identity` leaves the outputs unchanged, bit for bit.

    Insert before the network is wrapped (DistributedDataParallel, FSDP), compiled, scripted or
    exported. A network that `torch.compile(model)` returned earlier ignores later insertions into
    `model`.

    Args:
        model: any network.
        placement: a placement or its keys, the name of a shipped one, a YAML file, or a
            `.safetensors` file that bamctl wrote, whose weights are then loaded too. Its keys for
            building a network (`model`, `num_classes`, `stem`) are ignored.
        input_shape: the input shape as channels, height and width, or a list of shapes, one for
            each argument. Default: that of the placement, or 3x224x224.
        optimizers: existing optimizers of the network; the new parameters are added to each as a
            group with the settings of its first one. Create learning rate schedulers afterwards.

    Raises:
        InputError: the placement does not fit the network, a site is occupied already, or the
            network is wrapped, compiled or converted.

    >>> import torchvision
    >>> model = insert(torchvision.models.resnet18(), input_shape=(3, 64, 64))
    >>> list(model.inserted)
    ['layer1', 'layer2', 'layer3']
    """
    if not isinstance(model, nn.Module):
        given = repr(model) if isinstance(model, str) else type(model).__name__
        raise InputError(f"insert takes an nn.Module, not {given}; build the network first")
    optimizers = _checked(optimizers)
    state = None
    if isinstance(placement, Mapping):
        placement = Placement.from_options(placement)
        trust(*placement.factories())
    elif not isinstance(placement, Placement):
        if Path(placement).suffix == ".safetensors":
            checkpoint = checkpoints.read(Path(placement))
            file, placement, state = (
                Path(placement),
                checkpoint.required_placement(),
                checkpoint.state,
            )
        else:
            file, placement = Path(placement), find(placement)
        placement.check_named_by(file, with_network=False)
    refuse_wrapped(model, placement)
    sites = resolve(placement, _trunk(model, read(input_shape or placement.input or "3x224x224")))
    if state is not None and hasattr(model, HOLDER):
        raise InputError("modules are already inserted; load the weights into a plain network")
    known = {id(parameter) for parameter in model.parameters()}
    insert_sites(model, sites)
    if state is not None:
        _load_or_undo(model, state)
    new_params = [(name, each) for name, each in model.named_parameters() if id(each) not in known]
    for optimizer in optimizers if new_params else ():
        _add_group(optimizer, new_params)
    return model


def refuse_wrapped(model: nn.Module, placement: Placement) -> None:
    """Refuse to insert into a wrapped, compiled or converted network.

    Raises:
        InputError: the network is one; the message names the remedy.
    """
    wrappers.refuse(model, "insert into")
    if any(split(pattern)[0] in STRATEGIES for pattern in placement.patterns()):
        wrappers.refuse_graph(model)


def _checked(optimizers: Optimizer | Sequence[Optimizer]) -> Sequence[Optimizer]:
    listed = [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)
    for each in listed:
        if not isinstance(each, Optimizer):
            raise InputError(f"optimizers takes PyTorch's optimizers, not a {type(each).__name__}")
    return listed


def _add_group(optimizer: Optimizer, named: list[tuple[str, nn.Parameter]]) -> None:
    """Add a group with the settings of the first, with names if the optimizer has them."""
    first = optimizer.param_groups[0]
    params: list[Any] = named if "param_names" in first else [each for _, each in named]
    settings = {key: value for key, value in first.items() if key not in ("params", "param_names")}
    optimizer.add_param_group({"params": params, **settings})


def _trunk(model: nn.Module, given: Inputs) -> Trunk:
    """Return the trunk of the network without existing insertions.

    Raises:
        InputError: the network runs over its children, and an additional child changes its result.
    """
    with detached(model):
        _refuse_own_holder(model)
        with _empty_holder(model):
            traced = TracedNetwork.of(model, given)
        runs_children = any(call.module == HOLDER for call in traced.trace.calls)
        if runs_children and not _same_with_holder(model, given):
            raise InputError(
                f"{type(model).__name__} iterates over its own children, and an additional child "
                "changes its output; wrap it in another module, as nn.Sequential(model), and "
                "insert into that"
            )
    return traced.trunk


@contextmanager
def _empty_holder(model: nn.Module) -> Iterator[None]:
    model.add_module(HOLDER, Inserted())
    try:
        yield
    finally:
        delattr(model, HOLDER)


def _same_with_holder(model: nn.Module, given: Inputs) -> bool:
    """Return whether a network returns the same with an empty holder among its children."""
    with left_as_found(model):
        arguments = example.arguments(model, given)
        torch.manual_seed(0)
        plain = list(tensors(model(*arguments)))
        torch.manual_seed(0)
        with _empty_holder(model):
            with_holder = list(tensors(model(*arguments)))
    return len(plain) == len(with_holder) and all(
        one[0] == other[0] and torch.equal(one[1].nan_to_num(), other[1].nan_to_num())
        for one, other in zip(plain, with_holder, strict=True)
    )


def _load_or_undo(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    try:
        checkpoints.load_state(model, state)
    except InputError:
        remove(model)
        raise


def insert_sites(model: nn.Module, sites: Sequence[Site]) -> None:
    """Insert attention modules at resolved sites, in place.

    Raises:
        InputError: a site is occupied already, or is in a wrapped or converted module.
    """
    if not sites:
        warnings.warn("the placement selects no cut point; nothing is inserted", stacklevel=3)
        return
    for site in sites:
        for name in _around(site.point.module):
            wrappers.refuse(model.get_submodule(name), "insert into", name=name)
        if any(is_attached(model.get_submodule(name)) for name in site.point.aliases):
            raise InputError(f"an attention module is already inserted at {site.point.module!r}")
    weights = tuple(model.parameters())
    modules = [_built(model, site, weights) for site in sites]
    holder = _holder(model)
    for site, attention in zip(sites, modules, strict=True):
        holder[_key(holder, site.point.module)] = attention
    # Each is attached in front of the others of its host, so the last one goes first.
    for site, attention in reversed(list(zip(sites, modules, strict=True))):
        attach(model.get_submodule(site.point.module), attention, site.point.item)


def _around(module: str) -> Iterator[str]:
    """Yield the names of a module's parents, from the network (an empty name), and its own."""
    yield ""
    yield from accumulate(module.split("."), "{}.{}".format)


def remove(model: Model) -> Model:
    """Remove all modules that `insert` added, in place, and return the network.

    >>> import torchvision
    >>> model = insert(torchvision.models.resnet18(), input_shape=(3, 64, 64))
    >>> any(name.startswith("inserted") for name in remove(model).state_dict())
    False
    """
    wrappers.refuse(model, "remove from")
    holder = getattr(model, HOLDER, None)
    if not isinstance(holder, Inserted):
        warnings.warn("nothing is inserted in this network; nothing is removed", stacklevel=2)
        return model
    # Modules from an insertion into a submodule of the network stay.
    detach(model, only=set(holder.values()))
    delattr(model, HOLDER)
    return model


def _holder(model: nn.Module) -> Inserted:
    _refuse_own_holder(model)
    if not hasattr(model, HOLDER):
        model.add_module(HOLDER, Inserted().train(model.training))
    holder = model.get_submodule(HOLDER)
    assert isinstance(holder, Inserted)
    return holder


def _refuse_own_holder(model: nn.Module) -> None:
    if not isinstance(getattr(model, HOLDER, None), Inserted | None):
        raise InputError(f"the network already has an attribute {HOLDER!r}; rename it")


def _key(holder: Inserted, module: str) -> str:
    """Return an unused name without dots for a module in the holder."""
    name = key = module.replace(".", "_")
    number = 2
    while key in holder or hasattr(holder, key):
        key, number = f"{name}_{number}", number + 1
    return key


def build_module(model: nn.Module, site: Site) -> nn.Module:
    """Build the attention module of a site, with its host's device, dtype and mode."""
    return _built(model, site, tuple(model.parameters()))


def _built(model: nn.Module, site: Site, weights: Sequence[Tensor]) -> nn.Module:
    """Build the module of a site; to list the network's weights again for each would be slow."""
    host = model.get_submodule(site.point.module)
    attention = kind_of(site.attention).build(site, model)
    # Feature maps are real, even if some weights are complex, as those of a Fourier filter.
    parameters = chain(host.parameters(), weights)
    like = next((each for each in parameters if each.is_floating_point()), None)
    if like is not None:
        attention.to(device=like.device, dtype=like.dtype)
    spatial_axes = site.point.map.layout.spatial_axes
    channels_last = {2: torch.channels_last, 3: torch.channels_last_3d}[spatial_axes]
    if _is_channels_last(weights, 2 + spatial_axes, channels_last):
        attention.to(memory_format=channels_last)
    return attention.train(host.training)


def _is_channels_last(
    weights: Sequence[Tensor], dims: int, memory_format: torch.memory_format
) -> bool:
    """Return whether any kernel of the network, 2-D or 3-D, has a channels-last memory format."""
    kernels = (each for each in weights if each.dim() == dims)
    return any(
        kernel.is_contiguous(memory_format=memory_format) and not kernel.is_contiguous()
        for kernel in kernels
    )
