"""The analysis of a network, by name and given."""

import pytest
import torch

from bamctl import analyze
from bamctl.errors import InputError
from tests.networks import Unseen


def test_a_network_given_is_left_as_it_was_found() -> None:
    model = Unseen().train()
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    found = analyze(model, input_shape=(3, 32, 32), attention={"reduction": 4})
    assert found.model == "Unseen"
    assert found.attention.reduction == 4
    assert all(torch.equal(state[key], tensor) for key, tensor in model.state_dict().items())
    assert model.training


def test_every_point_has_a_cost_or_a_reason() -> None:
    found = analyze(
        Unseen(), input_shape=(3, 32, 32), attention={"module": "extra-block", "init": "identity"}
    )
    assert list(found.point_costs) == [point.module for point in found.trunk.points]
    assert found.point_costs["alpha"].params > 0
    assert found.strategies["block"].unavailable is None


def test_stages_limit_the_bottlenecks() -> None:
    one = analyze(Unseen(), input_shape=(3, 32, 32), stages=1)
    assert one.strategies["bottleneck"].modules == ["beta.1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet5"}, "unknown model"),
        ({"model": Unseen(), "num_classes": 3}, "built already"),
        ({"model": Unseen(), "attention": {"reduction": 0}}, "reduction"),
        ({"model": Unseen(), "stages": 0}, "stages"),
        ({"model": "resnet18", "input_shape": (3, 0, 4)}, "not channels x height x width"),
    ],
)
def test_what_is_wrong_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        analyze(**options)


def test_an_extra_block_that_no_network_has_is_a_value_with_a_reason() -> None:
    found = analyze("squeezenet1_0", input_shape=(3, 64, 64), attention={"module": "extra-block"})
    reasons = [cost for cost in found.point_costs.values() if isinstance(cost, str)]
    assert reasons
    assert all("no block can be repeated" in reason for reason in reasons)
