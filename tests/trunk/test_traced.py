"""A network traced once: what it is made of, and what follows from it."""

import pytest
import torch

from bamctl import Placement, analyze
from bamctl.analysis.analyze import analyze_network
from bamctl.errors import InputError
from bamctl.networks.memory import kept_for_backward, on_meta
from bamctl.networks.spec import NetworkSpec
from bamctl.placement.cost import place
from bamctl.surgery.insertion import insert_and_prove
from bamctl.training.arms import Networks, make_arms
from bamctl.trunk.traced import TracedNetwork
from tests.networks import Unseen
from tests.training.conftest import small

SHAPE = (3, 32, 32)
SMALL = NetworkSpec(model="resnet18", input=SHAPE, num_classes=10, stem="small")


def test_a_spec_is_built_and_traced_on_its_inputs() -> None:
    traced = TracedNetwork.load(SMALL)
    # By hand: with stride 1 and no pooling in the stem, 32 pixels are halved three times.
    assert [stage.end.map.extents for stage in traced.trunk.stages] == [
        (32, 32),
        (16, 16),
        (8, 8),
        (4, 4),
    ]
    assert traced.trace.input_shape == (1, *SHAPE)
    assert traced.trace.params == sum(each.numel() for each in traced.network.parameters())
    assert traced.network.fc.out_features == 10


def test_weights_are_there_where_they_matter() -> None:
    assert not TracedNetwork.load(SMALL).network.conv1.weight.any()
    assert TracedNetwork.load(SMALL, initialize=True).network.conv1.weight.any()


def test_a_network_stays_as_it_was() -> None:
    network = Unseen().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    traced = TracedNetwork.of(network, SHAPE)
    place(Placement(where="block"), traced)
    assert traced.memory_bytes == kept_for_backward(on_meta(network), SHAPE)
    assert traced.network is network
    assert network.training
    assert before.keys() == network.state_dict().keys()
    assert all(torch.equal(own, before[name]) for name, own in network.state_dict().items())


def test_what_does_not_run_is_refused() -> None:
    with pytest.raises(InputError, match="3x2x2"):
        TracedNetwork.load(NetworkSpec(model="alexnet", input="3x2x2"))
    with pytest.raises(InputError, match="no model"):
        TracedNetwork.load(NetworkSpec())
    with pytest.raises(InputError, match="no module 'omega'"):
        place(Placement(where="omega"), TracedNetwork.load(SMALL))


def test_analysis_insertion_and_training_place_alike() -> None:
    wanted = Placement(where="block")
    network = Unseen()
    traced = TracedNetwork.of(network, SHAPE)
    placed = place(wanted, traced)
    assert placed.sites
    assert analyze_network("unseen", traced, wanted).strategies["block"] == placed
    assert analyze(network, input_shape=SHAPE).strategies["block"] == placed
    assert insert_and_prove("unseen", network, wanted, SHAPE).placed == placed
    config = small(placements={"block": wanted})
    tiny = Networks(config).baseline(0)
    (_, arm) = make_arms(config, tiny).arms
    assert arm.placed == place(wanted, TracedNetwork.of(tiny, SHAPE))


def test_a_control_searches_the_trunk_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from bamctl.trunk import _find as trunk
    from bamctl.trunk import traced as traced_network

    def counted(*given: object) -> trunk.Trunk:
        searched.append(given)
        return trunk.find_trunk(*given)

    searched: list[object] = []
    monkeypatch.setattr(traced_network, "find_trunk", counted)
    config = small(control=True, placements={"one": Placement(where="one")})
    made = make_arms(config, Networks(config).baseline(0))
    assert "one:extra-block" in [arm.name for arm in made.arms]
    assert len(searched) == 1
