"""Measured latency of a network without and with attention modules, and of each module alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bamctl.networks.inputs import InputsLike, read
from bamctl.networks.inserted import HOLDER
from bamctl.networks.memory import sharing_weights
from bamctl.placement.sites import Site
from bamctl.surgery import insert as surgery
from bamctl.timing import setup as setups
from bamctl.timing.measure import Latency, in_turn, measure
from bamctl.timing.placed import AddedLatency
from bamctl.timing.setup import Setup


def with_sites(network: nn.Module, sites: Sequence[Site]) -> nn.Module:
    """Copy a network and insert attention modules; the copy shares the original's weights."""
    modified = sharing_weights(network)
    if sites:
        surgery.insert_sites(modified, sites)
    return modified


def measure_placed(
    network: nn.Module,
    sites: Sequence[Site],
    given: InputsLike,
    *,
    setup: Setup | None = None,
    batch_size: int = 1,
    min_seconds: float = 10.0,
    per_site: bool = False,
) -> Latency:
    """Time a network without and with attention modules, and each of them alone if requested.

    `measure` describes the arguments and errors.
    """
    modified = with_sites(network, sites)
    found = measure(
        network,
        modified,
        given,
        setup=setup,
        batch_size=batch_size,
        min_seconds=min_seconds,
    )
    if not per_site:
        return found
    alone = measure_sites(modified, sites, given, setup=setup, batch_size=batch_size)
    return replace(found, sites=alone)


def measure_sites(
    modified: nn.Module,
    sites: Sequence[Site],
    given: InputsLike,
    *,
    setup: Setup | None = None,
    batch_size: int = 1,
    min_seconds: float = 2.0,
) -> dict[str, float]:
    """Time each inserted module alone, on a map of the shape of its input.

    In turn, as networks are measured.

    Args:
        modified: the network with the modules.
        sites: their sites.
        given: the shapes of the network's inputs, without the batch.
        setup: the set-up.
        batch_size: images in a batch.
        min_seconds: minimum duration of the measurement, for all of them together.

    Returns:
        The median over the rounds, in seconds, by the module of the site.

    Raises:
        BamctlError: the device is unavailable.
    """
    if not sites:
        return {}
    setup = setup or Setup()
    with setups.at_work_on(setup.check()):
        (network,) = setups.prepared([modified], read(given), setup)
        modules = list(network.get_submodule(HOLDER).children())
        maps = _maps_given(network, modules, given, batch_size, setup)
        calls = [
            setups.repeated(module, (at,), setup) for module, at in zip(modules, maps, strict=True)
        ]
        threads = setup.threads or torch.get_num_threads()
        rounds = in_turn(calls, min_seconds, threads)
    medians = np.median(np.array(rounds), axis=0)
    return {site.name: float(m) for site, m in zip(sites, medians, strict=True)}


def _maps_given(
    network: nn.Module, modules: list[nn.Module], given: InputsLike, batch_size: int, setup: Setup
) -> list[Tensor]:
    """Return a random map for each inserted module, shaped like its input in a pass.

    Not the input itself: in a deep network with random weights it may vanish, and a CPU is slow
    with subnormal numbers.
    """
    found: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        found[module] = torch.randn_like(arguments[0]).requires_grad_(setup.train)

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    try:
        with torch.no_grad():
            network(*setups.arguments(network, read(given), batch_size, setup))
    finally:
        for handle in handles:
            handle.remove()
    return [found[module] for module in modules]


def measured_added(
    network: nn.Module, given: InputsLike, sites: Sequence[Site], setup: Setup, batch_size: int
) -> AddedLatency:
    """Time modules at the sites, each alone, and the network without them.

    Raises:
        BamctlError: the device is unavailable, or the batch does not fit in its memory.
    """
    base = measure(network, network, given, setup=setup, batch_size=batch_size, min_seconds=1.0)
    modified = with_sites(network, sites)
    alone = measure_sites(modified, sites, given, setup=setup, batch_size=batch_size)
    return AddedLatency(setup.device, base.device_name, batch_size, base.base.median_seconds, alone)
