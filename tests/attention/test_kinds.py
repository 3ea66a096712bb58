"""What each kind of attention module keeps to, one that the program does not have among them."""

import copy
import inspect
import json
import types
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
import torch
from torch import nn

from bamctl import Placement
from bamctl.attention.kind import AttentionKind
from bamctl.attention.kinds import (
    KINDS,
    attention,
    difference,
    kind_named,
    kind_of,
    overridden,
)
from bamctl.errors import InputError
from bamctl.export._source import source
from bamctl.nas._space import Space
from bamctl.nas.choices import Choices
from bamctl.networks import models
from bamctl.networks.memory import kept_for_backward
from bamctl.placement import placement
from bamctl.placement.cost import placement_cost
from bamctl.placement.sites import Site, resolve
from bamctl.surgery.insert import build_module, insert_sites
from bamctl.tracing.trace import trace
from bamctl.trunk.traced import TracedNetwork
from tests.attention.squeeze import SqueezeKind
from tests.networks import ChannelsLastTrunk, Unseen

SHAPE = (3, 32, 24)
OWN = "tests.attention.squeeze:Bare"
# Modules whose names nobody listed in the program, with and without convolutions, norms, hidden
# layers and dropout.
OF_TIMM = [
    f"timm:{name}" for name in "se ese eca ceca cbam lcbam gc gca coord ela nl strip".split()
]
NAMES = [*KINDS, "squeeze", *OF_TIMM, OWN]


@pytest.fixture(autouse=True)
def _one_kind_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry is all that a kind needs."""
    monkeypatch.setitem(KINDS, "squeeze", SqueezeKind())


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest) -> AttentionKind:
    return kind_named(request.param)


def sites_of(
    network: nn.Module, kind: AttentionKind, where: str = "block", **settings: object
) -> tuple[tuple[Site, ...], TracedNetwork]:
    traced = TracedNetwork.of(network, SHAPE)
    wanted = Placement(where=where, attention={"module": kind.name, **settings})
    return resolve(wanted, traced.trunk), traced


def every_setting(kind: AttentionKind) -> list[dict[str, object]]:
    """The defaults, and each searched setting changed alone."""
    searched = kind.searched.items()
    return [{}, *({name: value} for name, choices in searched for value in choices[1:])]


def test_settings_begin_with_the_name_and_end_with_the_start(kind: AttentionKind) -> None:
    fields = list(kind.settings.model_fields)
    assert (fields[0], fields[-1]) == ("module", "init")
    assert kind_named(kind.name) is kind_of(kind.usual) is kind
    for name, field in kind.settings.model_fields.items():
        assert field.description
        # The name of an open kind is of its settings; all others have defaults.
        assert field.is_required() == (name == "module" and kind.name not in KINDS)


def test_what_is_searched_are_settings_with_the_usual_value_first(kind: AttentionKind) -> None:
    usual = kind.usual.hyperparameters()
    for name, choices in kind.searched.items():
        # None is the default of another's module, which its signature has.
        assert choices[0] == (usual[name] or round(1 / defaults(kind)["rd_ratio"]))
        for value in choices:
            assert attention(module=kind.name, **{name: value}).hyperparameters()[name] == value


def defaults(kind: AttentionKind) -> dict[str, Any]:
    from timm.layers.create_attn import get_attn

    signature = inspect.signature(get_attn(kind.name.removeprefix("timm:")))
    return {name: each.default for name, each in signature.parameters.items()}


@pytest.mark.parametrize("make", [Unseen, ChannelsLastTrunk])
@pytest.mark.parametrize("init", ["kaiming", "identity"])
def test_costs_are_what_a_retrace_counts(kind: AttentionKind, make: Any, init: str) -> None:
    plain = make()
    traced = TracedNetwork.of(plain, SHAPE)
    before, trunk = traced.trace, traced.trunk
    for settings in every_setting(kind):
        network, chosen = copy.deepcopy(plain), {"module": kind.name, "init": init, **settings}
        sites = resolve(Placement(where=trunk.blocks[-1].module, attention=chosen), trunk)
        added = placement_cost(sites, traced).total
        kept = [
            kept_for_backward(build_module(network, site).to("meta"), site.point.map.shape)
            for site in sites
        ]
        insert_sites(network, sites)
        after = trace(network, SHAPE)
        assert after.params - before.params == added.params
        assert after.macs[""] - before.macs[""] == added.macs
        assert after.elementwise_ops[""] - before.elementwise_ops[""] == added.elementwise_ops
        assert sum(kept) == added.memory_bytes


@pytest.mark.parametrize("make", [Unseen, ChannelsLastTrunk])
def test_a_module_keeps_the_shape_of_its_map_and_follows_its_host(
    kind: AttentionKind, make: Any
) -> None:
    network = make().double().eval()
    sites, _ = sites_of(network, kind)
    for site in sites:
        module = build_module(network, site)
        assert type(module) is kind.layer()
        x = torch.rand(2, *site.point.map.shape, dtype=torch.float64)
        assert module(x).shape == x.shape
        assert module(x).dtype == torch.float64
        assert not module.training


@pytest.mark.parametrize("make", [Unseen, ChannelsLastTrunk])
def test_identity_leaves_outputs_bit_for_bit(kind: AttentionKind, make: Any) -> None:
    network, x = make().eval(), torch.rand(2, *SHAPE)
    before = network(x)
    changed = copy.deepcopy(network)
    insert_sites(changed, sites_of(network, kind, init="identity")[0])
    assert torch.equal(changed(x), before)
    plain = copy.deepcopy(network)
    insert_sites(plain, sites_of(network, kind)[0])
    for parameter in plain.inserted.parameters():
        # Some are the identity as their authors initialize them.
        nn.init.normal_(parameter, std=0.2)
    assert not torch.equal(plain(x), before)


def test_every_setting_shows_in_the_words(kind: AttentionKind) -> None:
    every = [attention(module=kind.name, **each) for each in every_setting(kind)]
    for words in ([kind.describe(each) for each in every], [kind.short(each) for each in every]):
        assert all(line and "\n" not in line for line in words)
        assert len(set(words)) == len(words)
    assert kind.noun.split()[0] in ("a", "an")


def test_settings_that_are_the_same_compute_the_same(kind: AttentionKind) -> None:
    point = sites_of(Unseen(), kind)[0][0].point
    outputs: dict[object, torch.Tensor] = {}
    network, x = Unseen(), torch.rand(2, *point.map.shape)
    for settings in every_setting(kind):
        for site in sites_of(network, kind, where=point.module, **settings)[0]:
            torch.manual_seed(0)
            output = build_module(network, site)(x)
            key = kind.same(site.attention, point)
            assert torch.equal(outputs.setdefault(key, output), output)


def test_what_is_cheaper_costs_less(kind: AttentionKind) -> None:
    network = Unseen()
    sites, traced = sites_of(network, kind)
    for site in sites:
        steps = list(cheaper_and_cheaper(kind, site))
        costs = [kind.cost(each, traced) for each in steps]
        for dear, cheap in pairwise(costs):
            assert cheap.params < dear.params
            assert cheap.macs <= dear.macs


def cheaper_and_cheaper(kind: AttentionKind, site: Site) -> Iterator[Site]:
    yield site
    while step := kind.cheaper(site):
        site = Site(site.point, step.settings, site.repeated_block)
        yield site


def test_maps_are_of_the_gate_or_none(kind: AttentionKind) -> None:
    network = Unseen().eval()
    site = sites_of(network, kind)[0][0]
    module, x = build_module(network, site), torch.rand(1, *site.point.map.shape)
    found = kind.maps(module, x)
    assert (found is not None) == kind.has_gate
    if found is not None:
        torch.testing.assert_close(found.before * (1 + found.gate), found.after)


@pytest.mark.parametrize("init", ["kaiming", "identity"])
def test_exported_source_computes_the_same(kind: AttentionKind, init: str) -> None:
    wanted = Placement(
        model="resnet18",
        num_classes=3,
        where=["layer1", "layer2"],
        attention={"module": kind.name, "init": init},
    )
    network = models.build("resnet18", num_classes=3).eval()
    sites = resolve(wanted, TracedNetwork.of(network, (3, 64, 64)).trunk)
    insert_sites(network, sites)
    for parameter in network.inserted.parameters():
        nn.init.normal_(parameter, std=0.2)
    text = source(network, wanted, sites)
    assert "import bamctl" not in text
    assert "from bamctl" not in text
    assert kind.library is None or f"import {kind.library}" in text
    module = types.ModuleType("exported")
    exec(compile(text, "exported.py", "exec"), module.__dict__)
    built = module.build().eval()
    built.load_state_dict(network.state_dict())
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(built(x), network(x))


def test_the_schema_accepts_it_and_refuses_what_is_not_its_own(kind: AttentionKind) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(placement.json_schema())))
    own = {**kind.usual.model_dump(exclude_none=True)}
    validator.validate({"attention": own, "insertions": {"a": {"init": "identity"}}})
    assert Placement.from_options({"attention": own}).attention == kind.usual
    fields = kind.settings.model_fields
    foreign = next(
        (name, other.name)
        for other in KINDS.values()
        for name in other.settings.model_fields
        if name not in fields and other is not kind and name != "combine"
    )
    wrong = {"attention": {**own, foreign[0]: kind_value(*foreign)}}
    assert not validator.is_valid(wrong)
    with pytest.raises(InputError, match=f"{kind.name} is .*{foreign[1]}.*; drop {foreign[0]}$"):
        Placement.from_options(wrong)


def kind_value(name: str, of: str) -> object:
    return KINDS[of].usual.hyperparameters()[name]


def test_an_unknown_kind_and_an_unknown_setting_are_guessed() -> None:
    with pytest.raises(InputError, match=r"'sqeeze' is not one of .*did you mean 'squeeze'"):
        Placement.from_options({"attention": {"module": "sqeeze"}})
    with pytest.raises(InputError, match=r"'attention.rato' \(did you mean 'ratio'\?\)"):
        Placement.from_options({"attention": {"module": "squeeze", "rato": 2}})
    with pytest.raises(InputError, match=r"unknown key 'rato' \(did you mean 'ratio'\?\)"):
        attention(module="squeeze", rato=2)


def test_an_insertion_without_a_module_is_of_the_kind_of_its_placement() -> None:
    wanted = Placement(attention={"module": "squeeze"}, insertions={"delta": {"ratio": 2}})
    network = Unseen()
    (site,) = resolve(wanted, TracedNetwork.of(network, SHAPE).trunk)
    assert (site.attention.module, site.attention.ratio) == ("squeeze", 2)
    assert Placement.from_json(wanted.to_json()) == wanted


def test_differences_make_the_other_settings_again() -> None:
    every = [
        attention(module=kind.name, init=init, **settings)
        for kind in KINDS.values()
        for settings in every_setting(kind)
        for init in ("kaiming", "identity")
    ]
    for own in every:
        for other in every:
            found = overridden(own, difference(own, other))
            assert kind_of(found) is kind_of(other)
            assert found.hyperparameters() == other.hyperparameters()


def test_a_search_chooses_among_kinds_that_have_settings_of_their_own() -> None:
    network = Unseen()
    trunk = TracedNetwork.of(network, SHAPE).trunk
    chosen = Choices(
        candidates=["beta.1", "delta"],
        module=["squeeze", "bam"],
        reduction=[16, 4],
        dilation=[1],
        branches=["channel"],
        combine=["sum"],
    )
    space = Space(chosen, trunk)
    assert space.choices == {
        "beta.1": ["none", "bam", "squeeze"],
        "delta": ["none", "bam", "squeeze"],
        "reduction": [16, 4],
        "ratio": [4, 2],
        # What the strategies of the paper use beside them.
        **{name: ["none", "bam", "squeeze"] for name in ("alpha.0", "alpha", "beta.0", "gamma")},
    }
    # At each place nothing, or one of two modules: 9 networks for each of 2 x 2 settings. Without
    # a BAM the reduction makes no difference, without a squeeze the ratio: nothing at all, 1; BAMs
    # alone, 3 with 2 reductions; squeezes alone, 3 with 2 ratios; one of each, 2 with all 4.
    assert space.count() == 1 + 3 * 2 + 3 * 2 + 2 * 4
    for group in space.groups():
        for codes in zip(*(list(each) * 9 for each in group), strict=False):
            assert space.decode(space.encode(codes)) == tuple(codes)
    with pytest.raises(ValueError, match="ratio"):
        Choices(module=["squeeze"], ratio=["wide"])
    assert "ratio" not in Choices().model_dump()
