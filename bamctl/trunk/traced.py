"""A network with its trace and its trunk, from which all that is known of it follows."""

import copy
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from bamctl.networks.inputs import InputsLike
from bamctl.networks.memory import kept_for_backward, on_meta
from bamctl.networks.spec import NetworkSpec
from bamctl.tracing.trace import Trace, trace
from bamctl.trunk._find import find_trunk
from bamctl.trunk.cut_points import Trunk


@dataclass(frozen=True)
class TracedNetwork:
    """A network, traced once for all the placements on it.

    Args:
        network: the network, unmodified.
        trace: its operators and modules, for one image.
        trunk: its cut points.
    """

    network: nn.Module
    trace: Trace
    trunk: Trunk

    @classmethod
    def of(cls, network: nn.Module, inputs: InputsLike) -> "TracedNetwork":
        """Trace a network that is built, and find its trunk; the network stays as it is.

        Args:
            network: any network.
            inputs: what it can run on, without the batch.

        Raises:
            InputError: it cannot run on these inputs.
        """
        traced = trace(network, inputs)
        return cls(network, traced, find_trunk(network, traced))

    @classmethod
    def load(cls, spec: NetworkSpec, *, initialize: bool = False) -> "TracedNetwork":
        """Build a network and trace it.

        Args:
            spec: which network.
            initialize: whether its weights matter; `NetworkSpec.build` says more.

        Raises:
            InputError: it has no name, or cannot be built or traced.
        """
        return cls.of(spec.build(initialize=initialize), spec.inputs)

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes that training the network saves for the backward pass, for one image."""
        try:
            return kept_for_backward(on_meta(self.network), self.trace.given)
        except (RuntimeError, NotImplementedError):
            # It reads numbers off its tensors, or makes some on a device of its own choice.
            return kept_for_backward(copy.deepcopy(self.network), self.trace.given)
