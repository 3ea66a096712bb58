from itertools import product

import numpy as np
import pytest
import torch

from bamctl.errors import InputError
from bamctl.nas._places import find_place
from bamctl.nas._space import Space
from bamctl.nas.choices import Choices
from bamctl.surgery.insert import insert_sites
from bamctl.training.arms import seed_for
from tests.nas.table import SMALL, subject
from tests.networks import Unseen

SHARED = Choices(
    candidates=["bottleneck", "delta"], module=["bam", "extra-block"], combine=["sum", "max"]
)


def _all(space: Space) -> set[tuple[int, ...]]:
    """Every candidate, by trying every parameter."""
    names = space.parameters
    values = product(*(space.choices[name] for name in names))
    return {space.decode(dict(zip(names, each, strict=True))) for each in values}


@pytest.mark.parametrize("choices", [SHARED, SMALL], ids=["shared", "per site"])
def test_the_count_is_that_of_what_parameters_describe(choices: Choices) -> None:
    space = Space(choices, subject().trunk)
    every = _all(space)
    assert space.count() == len(every)
    grouped = {codes for group in space.groups() for codes in product(*group)}
    assert grouped == every


def test_per_site_counts_multiply() -> None:
    # Six blocks, each with none or two reductions by two sets of branches.
    assert Space(SMALL, subject().trunk).count() == (1 + 2 * 2) ** 6


@pytest.mark.parametrize("choices", [SHARED, SMALL], ids=["shared", "per site"])
def test_parameters_describe_a_candidate_in_one_way(choices: Choices) -> None:
    space = Space(choices, subject().trunk)
    written = set()
    for codes in _all(space):
        params = space.encode(codes)
        assert space.decode(params) == codes
        written.add(tuple(params.items()))
    assert len(written) == space.count()


def test_what_makes_no_difference_is_one_option() -> None:
    """At 4x4 with 16 channels: r=16 and r=32 leave one channel, d=4 and d=8 reach beyond."""
    trunk = subject().trunk
    choices = Choices(reduction=[16, 32, 8], dilation=[4, 8, 1], combine=["sum", "max"])
    point = trunk.point("beta.1")
    assert (point.map.num_channels, point.map.extents) == (16, (8, 8))
    place = find_place(point, choices, choices.settings(), trunk)
    # Hidden channels 1 or 2; reach 4, 8 or 1, where 8 is all there is; both branches in two ways.
    assert len(place.options) == 2 * (3 * 2 + 1 + 3)
    wider = Choices(reduction=[16], dilation=[8, 9, 64], branches=["both"], combine=["sum"])
    assert len(find_place(point, wider, wider.settings(), trunk).options) == 1


def test_options_of_a_place_give_other_outputs_and_what_was_left_out_gives_the_same() -> None:
    trunk = subject().trunk
    choices = Choices(
        reduction=[16, 32], dilation=[8, 64, 1], branches=["both", "channel"], combine=["sum"]
    )
    settings = choices.settings()
    place = find_place(trunk.point("beta.1"), choices, settings, trunk)
    outputs: list[torch.Tensor] = []
    for setting in settings:
        own = Choices(**{name: [value] for name, value in setting.items()})
        option = find_place(trunk.point("beta.1"), own, own.settings(), trunk).options[0]
        outputs.append(_output(option))
    made = list(zip(outputs, place.by_setting["bam"], strict=True))
    for (output, code), (another, other) in product(made, repeat=2):
        assert torch.equal(output, another) == (code == other)


def _output(site: object) -> torch.Tensor:
    torch.manual_seed(seed_for(0, "weights"))
    network = Unseen()
    torch.manual_seed(seed_for(0, "attention"))
    insert_sites(network, (site,))
    torch.manual_seed(1)
    return network.train()(torch.randn(4, 3, 32, 32))


def test_strategies_are_candidates_with_the_paper_values() -> None:
    space = Space(SMALL, subject().trunk)
    assert set(space.references) == {"baseline", "bottleneck", "block"}
    sites = space.sites(space.references["bottleneck"])
    assert [site.point.module for site in sites] == ["alpha", "beta.1"]
    # 16 is not among the choices, so the first of them stands for it.
    assert {site.attention.reduction for site in sites} == {4}
    paper = Space(Choices(reduction=[4, 16]), subject().trunk)
    sites = paper.sites(paper.references["block"])
    assert len(sites) == 6
    assert {site.attention.reduction for site in sites} == {16}


def test_a_strategy_outside_of_the_candidates_is_described_too() -> None:
    space = Space(Choices(candidates=["bottleneck"]), subject().trunk)
    codes = space.references["block"]
    params = space.encode(codes)
    assert space.decode(params) == codes
    assert {"gamma", "delta"} <= params.keys()
    assert not {"gamma", "delta"} & set(space.parameters)


def test_a_placement_selects_the_sites_of_its_candidate() -> None:
    from bamctl.placement.sites import resolve

    space = Space(SMALL, subject().trunk)
    rng = np.random.default_rng(0)
    for codes in rng.integers(0, 5, size=(20, 6)):
        if codes.any():
            sites = resolve(space.placement(codes), subject().trunk)
            assert sites == space.sites(codes)


def test_no_candidates_is_said() -> None:
    with pytest.raises(InputError, match="no module that returns a feature map matches"):
        Space(Choices(candidates=["omega*"]), subject().trunk)


@pytest.mark.parametrize("init", ["kaiming", "identity"])
def test_a_placement_says_how_weights_start_where_that_is_not_usual(init: str) -> None:
    """`bamctl train --pretrained` takes what is written for a choice."""
    space = Space(Choices(module=["bam", "extra-block"], init=init), subject().trunk)
    for name in ("bottleneck", "block"):
        placement = space.placement(space.references[name])
        assert placement.attention.init == init
        assert ("init" in placement.as_written()["attention"]) == (init == "identity")


def test_a_search_of_extra_blocks_alone_keeps_what_its_file_says() -> None:
    """Files of version 0.1.0 have the choices of BAM in every search, and its study names them."""
    written = {"reduction": [16, 4], "dilation": [4], "branches": ["both"], "combine": ["sum"]}
    chosen = {"candidates": ["bottleneck"], "module": ["extra-block"], **written}
    space = Space(Choices(**chosen, variant=["paper"]), subject().trunk)
    assert space.parameters == ("alpha", "beta.1", "reduction")
    assert space.count() == 4
    alone = Space(Choices(**chosen, per_site=True), subject().trunk)
    assert alone.parameters == ("alpha", "beta.1")
    assert alone.config.model_dump()["reduction"] == [16, 4]
