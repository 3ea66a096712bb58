"""`Insertion`: the sites, costs and proof of an insertion, for reports."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bamctl.networks.inputs import InputsLike
from bamctl.networks.inserted import HOLDER
from bamctl.placement.cost import PlacementCost, place
from bamctl.placement.placement import Placement
from bamctl.placement.sites import left_out, named
from bamctl.surgery.insert import insert_sites, refuse_wrapped
from bamctl.surgery.proof import Proof, prove
from bamctl.tracing.trace import Trace
from bamctl.trunk.cut_points import Trunk
from bamctl.trunk.traced import TracedNetwork
from bamctl.weights import official
from bamctl.weights.checkpoints import load_state


@dataclass(frozen=True)
class Insertion:
    """An insertion: sites, costs and proof.

    `trace` and `trunk` are those of the unmodified network; `placement` names every site. `proof`
    is None if the placement selects no site. `weights_have_attention` is true if the loaded weights
    contain those of the attention modules. `left_out` says what the strategies of the placement
    left out, and why.
    """

    model: str
    trace: Trace
    trunk: Trunk
    placement: Placement
    placed: PlacementCost
    proof: Proof | None
    weights_have_attention: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def output_changed(self) -> bool:
        """Return whether the insertion changed the outputs of the network."""
        return self.proof is not None and bool(self.proof.output_change)


def build_and_insert(
    placement: Placement, weights: str | None = None, state: Mapping[str, Tensor] | None = None
) -> tuple[nn.Module, Insertion]:
    """Build the network that a placement names, and insert, with a fixed seed.

    Args:
        placement: a placement with a `model`.
        weights: the name of published weights.
        state: a state dict to load after the insertion, instead of `weights`.

    Raises:
        InputError: the network cannot be built, or the placement or the weights do not fit it.
        BamctlError: the proof failed.
    """
    # Seeded, so that the new random weights are reproducible.
    torch.manual_seed(0)
    network = placement.build(weights=weights)
    return network, insert_and_prove(placement.name, network, placement, placement.inputs, state)


def insert_and_prove(
    name: str,
    model: nn.Module,
    placement: Placement,
    given: InputsLike,
    state: Mapping[str, Tensor] | None = None,
) -> Insertion:
    """Insert in place as `bamctl.insert` does, compute costs and prove that the network works.

    Args:
        name: the name of the network in reports.
        model: a network without insertions.
        placement: the placement to insert.
        given: the shapes of the network's inputs, without the batch.
        state: a state dict to load after the insertion; weights of the attention modules may be
            missing.

    Raises:
        InputError: the placement or the weights do not fit the network.
        BamctlError: the proof failed.
    """
    refuse_wrapped(model, placement)
    traced = TracedNetwork.of(model, given)
    placed = place(placement, traced)
    if placed.sites:
        insert_sites(model, placed.sites)
    has_attention = False
    if state is not None:
        if official.is_official(state):
            state = official.read(state, model)
        # Weights of a plain backbone have no attention module at all; a part of them is an error.
        has_attention = any(name.startswith(f"{HOLDER}.") for name in state)
        load_state(model, state, partial=not has_attention)
    return Insertion(
        model=name,
        trace=traced.trace,
        trunk=traced.trunk,
        placement=named(placement, placed.sites),
        placed=placed,
        proof=prove(model, given) if placed.sites else None,
        weights_have_attention=has_attention,
        left_out=tuple(left_out(placement, traced.trunk)),
    )
