"""`TracedNetwork`: a network with its trace and its trunk."""

from dataclasses import dataclass
from functools import cached_property

from torch import nn

from bamctl.networks.inputs import InputsLike
from bamctl.networks.memory import kept_anywhere
from bamctl.networks.spec import NetworkSpec
from bamctl.tracing.trace import Trace, trace
from bamctl.trunk._find import find_trunk
from bamctl.trunk.cut_points import Trunk


@dataclass(frozen=True, eq=False)
class TracedNetwork:
    """A network, traced once for all the placements on it.

    Args:
        network: the network, unmodified.
        trace: its trace, for one image.
        trunk: its cut points and stages.
    """

    network: nn.Module
    trace: Trace
    trunk: Trunk

    @classmethod
    def of(cls, network: nn.Module, inputs: InputsLike) -> "TracedNetwork":
        """Trace a network and find its trunk; the network is left unchanged.

        Args:
            network: any network.
            inputs: the shapes of its inputs, without the batch.

        Raises:
            InputError: the network cannot run on these inputs, or cannot be traced.
        """
        traced = trace(network, inputs)
        return cls(network, traced, find_trunk(network, traced))

    @classmethod
    def load(cls, spec: NetworkSpec, *, initialize: bool = False) -> "TracedNetwork":
        """Build a network and trace it.

        Args:
            spec: the network.
            initialize: initialize the weights; see `NetworkSpec.build`.

        Raises:
            InputError: the spec has no name, or the network cannot be built or traced.
        """
        return cls.of(spec.build(initialize=initialize), spec.inputs)

    @cached_property
    def memory_bytes(self) -> int:
        """Bytes that training the network saves for the backward pass, for one image."""
        return kept_anywhere(self.network, self.trace.given)
