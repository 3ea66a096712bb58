"""Peak memory of one pass of a network."""

from dataclasses import replace

import torch
from torch import nn

from bamctl import units
from bamctl.errors import BamctlError
from bamctl.networks import example
from bamctl.networks.inputs import Inputs
from bamctl.networks.memory import PeakMemory, available_bytes, on_meta
from bamctl.networks.structures import tensors
from bamctl.timing import setup as setups
from bamctl.timing.setup import Setup


def peak_bytes(network: nn.Module, given: Inputs, batch_size: int, setup: Setup) -> int | None:
    """Return the peak memory of one pass, in bytes, or None if it is unknown.

    Raises:
        BamctlError: the peak exceeds the available memory of the CPU.
    """
    device = torch.device(setup.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        once = replace(setup, compile=False, cuda_graph=False)
        setups.repeated(network, setups.arguments(network, given, batch_size, once), once)()
        return int(torch.cuda.max_memory_allocated(device))
    if device.type != "cpu":
        return None
    try:
        peak = _counted_bytes(network, given, batch_size, setup)
    except (RuntimeError, NotImplementedError):
        # The network reads values of its tensors, which the meta device does not have.
        return None
    if peak > available_bytes():
        raise too_large(
            batch_size,
            setup,
            f": it takes {units.size(peak)}, and {units.size(available_bytes())} are free",
        )
    return peak


def _counted_bytes(network: nn.Module, given: Inputs, batch_size: int, setup: Setup) -> int:
    shapes = on_meta(network)
    with torch.set_grad_enabled(setup.train):
        make = example.training_arguments if setup.train else example.arguments
        arguments = make(shapes, given, batch_size)
        held = [*shapes.parameters(), *shapes.buffers(), *(t for _, t in tensors(arguments))]
        with PeakMemory(held) as counted:
            result = shapes(*arguments)
            if setup.train:
                torch.autograd.backward(setups.loss(result))
    return int(counted.peak_bytes)


def too_large(batch_size: int, setup: Setup, why: str = "") -> BamctlError:
    """Return the error about a batch that does not fit in memory."""
    return BamctlError(
        f"a batch of {batch_size} does not fit in the memory of {setup.device}{why}; "
        "try a smaller one"
    )
