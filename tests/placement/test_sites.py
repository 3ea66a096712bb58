"""From placements to sites."""

import pytest

from bamctl import Placement
from bamctl.errors import InputError
from bamctl.placement.sites import resolve
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk
from bamctl.trunk.cut_points import Trunk
from tests.networks import Skip, Unseen


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    model = Unseen()
    return find_trunk(model, trace(model, (3, 32, 32)))


def modules(trunk: Trunk, **placement: object) -> list[str]:
    return [site.point.module for site in resolve(Placement(**placement), trunk)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("bottleneck", ["alpha", "beta.1"]),
        ("block", ["alpha.0", "alpha", "beta.0", "beta.1", "gamma", "delta"]),
        ("beta.*", ["beta.0", "beta.1"]),
        ("[gd]*a", ["gamma", "delta"]),
        (["delta", "bottleneck", "alpha"], ["alpha", "beta.1", "delta"]),
        ("alpha.1", ["alpha"]),
        ("gamma.conv1", ["gamma.conv1"]),
    ],
)
def test_where(trunk: Trunk, where: object, expected: list[str]) -> None:
    assert modules(trunk, where=where) == expected


def test_the_default_is_the_bottlenecks(trunk: Trunk) -> None:
    assert modules(trunk) == ["alpha", "beta.1"]
    assert modules(trunk, stages=1) == ["beta.1"]


def test_insertions_alone_are_the_sites(trunk: Trunk) -> None:
    placement = Placement(
        attention={"reduction": 8, "dilation": 2},
        insertions={"delta": {"reduction": 4}, "alpha": {}},
    )
    found = {site.point.module: site.attention for site in resolve(placement, trunk)}
    assert list(found) == ["alpha", "delta"]
    assert (found["alpha"].reduction, found["alpha"].dilation) == (8, 2)
    assert (found["delta"].reduction, found["delta"].dilation) == (4, 2)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ({"where": "omega"}, "no module 'omega'"),
        ({"where": "omega*"}, r"no module that returns a feature map matches 'omega\*'"),
        ({"where": "head"}, "'head' does not return one feature map"),
        ({"where": ""}, "should be"),
        ({"where": "alpha", "insertions": {"delta": {}}}, "'delta' is not selected by 'where'"),
    ],
)
def test_what_cannot_be_placed_is_refused(
    trunk: Trunk, placement: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(Placement(**placement), trunk)


@pytest.mark.parametrize(
    ("where", "repeated"),
    # The block that ends there keeps the shape of its input, or another one of its stage does.
    [("alpha", "alpha.1"), ("beta.1", "beta.1"), ("beta.0", "beta.1"), ("gamma", "delta")],
)
def test_the_extra_block_is_one_of_the_same_shape(trunk: Trunk, where: str, repeated: str) -> None:
    placement = Placement(where=where, attention={"module": "extra-block"})
    assert [site.repeated_block for site in resolve(placement, trunk)] == [repeated]


def test_no_extra_block_where_none_keeps_its_shape() -> None:
    model = Skip()
    trunk = find_trunk(model, trace(model, (3, 32, 32)))
    with pytest.raises(InputError, match=r"no block can be repeated at 'first'.*8x16x16"):
        resolve(Placement(where="first", attention={"module": "extra-block"}), trunk)
