"""Placement files: what they may say, and what is said of those that are wrong."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from bamctl import Placement
from bamctl.attention.kinds import attention, overridden
from bamctl.attention.settings import Settings
from bamctl.errors import InputError
from bamctl.networks import inputs
from bamctl.placement import placement, shipped

ABLATIONS = {
    "paper/dilation-1": {"dilation": 1},
    "paper/dilation-2": {"dilation": 2},
    "paper/dilation-4": {"dilation": 4},
    "paper/dilation-6": {"dilation": 6},
    "paper/reduction-4": {"reduction": 4},
    "paper/reduction-8": {"reduction": 8},
    "paper/reduction-16": {"reduction": 16},
    "paper/reduction-32": {"reduction": 32},
    "paper/branches-channel": {"branches": "channel"},
    "paper/branches-spatial": {"branches": "spatial"},
    "paper/combine-sum": {"combine": "sum"},
    "paper/combine-product": {"combine": "product"},
    "paper/combine-max": {"combine": "max"},
    "paper/extra-block": {"module": "extra-block"},
    "paper/every-block": {},
}
# What is printed in section 3 and figure 1 of the paper, and what its code does.
PAPER = {
    "variant": "paper",
    "reduction": 16,
    "dilation": 4,
    "dilated_convs": 2,
    "branches": "both",
    "combine": "sum",
    "init": "kaiming",
}


def test_defaults_are_the_paper() -> None:
    assert attention().hyperparameters() == PAPER
    assert attention(variant="official").hyperparameters()["combine"] == "product"
    assert Placement().patterns() == ("bottleneck",)


def test_shipped_names() -> None:
    assert set(shipped.shipped_names()) == {"bottleneck", "block", "official", *ABLATIONS}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_change_one_thing(name: str) -> None:
    found, change = shipped.find(name), ABLATIONS[name]
    assert (found.model, found.num_classes, found.stem) == ("resnet50", 100, "small")
    assert inputs.text(found.input) == "3x32x32"
    assert found.patterns() == ("block" if name == "paper/every-block" else "bottleneck",)
    if "module" in change:
        assert found.attention.module == "extra-block"
    else:
        assert found.attention.hyperparameters() == PAPER | change


def test_official_is_the_released_layout() -> None:
    assert shipped.find("official").attention.variant == "official"


def test_save_and_load(tmp_path: Path) -> None:
    written = Placement(
        model="resnet18",
        input="3x64x96",
        stages="all",
        attention={"reduction": 8, "variant": "official"},
        where=["layer1", "layer2"],
        insertions={"layer2": {"dilation": 2}},
    )
    path = tmp_path / "p.yaml"
    written.save(path)
    loaded = Placement.load(path)
    assert inputs.text(loaded.input) == "3x64x96"
    assert loaded.patterns() == ("layer1", "layer2")
    assert loaded.attention.hyperparameters() == written.attention.hyperparameters()
    site = overridden(loaded.attention, loaded.insertions["layer2"])
    assert (site.dilation, site.reduction, site.variant) == (2, 8, "official")
    assert Placement.from_json(written.to_json()).as_dict() == loaded.as_dict()


def test_an_override_sets_only_what_it_says() -> None:
    base = attention(reduction=8, init="identity")
    assert overridden(base, attention(dilation=2)).hyperparameters() == PAPER | {
        "reduction": 8,
        "init": "identity",
        "dilation": 2,
    }


def test_empty_keys_are_as_left_out(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("schema: 1\nattention:\nwhere:\ninsertions:\n  layer1:\n")
    assert Placement.load(path).patterns() == ("layer1",)


WRONG = {
    "wher: block": (1, "unknown key 'wher' (did you mean 'where'?)"),
    "schema: 1\nattention:\n  redction: 4": (3, "unknown key 'attention.redction' (did you mean"),
    "schema: 1\ninsertions:\n  layer1:\n    combin: sum": (4, "did you mean 'combine'?"),
    "attention: {combine: summ}": (1, "is not one of sum, product, max (did you mean 'sum'?)"),
    "attention:\n  reduction: 0": (2, "greater than or equal to 1, not 0"),
    "attention:\n  reduction: '4'": (2, "valid integer, not '4'"),
    "attention:\n  reduction: 4.5": (2, "valid integer, not 4.5"),
    "attention:\n  reduction: true": (2, "valid integer, not True"),
    "attention: bam": (1, "attention"),
    "attention:\n  module: extra-block\n  reduction: 4": (1, "drop reduction"),
    "schema: 2": (1, "schema: should be 1, not 2"),
    "schema: 1\n\ninput: 224x": (3, "'224x' is not channels x height x width"),
    "input: 3x0x224": (1, "is not channels x height x width"),
    "stages: 0": (1, "'all' or a whole number of at least 1, not 0"),
    "stages: few": (1, "'all' or a whole number of at least 1, not 'few'"),
    "where: []": (1, "should be bottleneck, block, branch, level, a module name"),
    "where: [layer1, 3]": (1, "should be bottleneck, block, branch, level, a module name"),
    "where: {layer1: x}": (1, "should be bottleneck, block, branch, level, a module name"),
    "num_classes: -1": (1, "num_classes"),
    "stem: large": (1, "stem: 'large' is not one of small"),
    "insertions: [layer1]": (1, "insertions"),
    "model: 50": (1, "model"),
    "- layer1": (1, "a placement must be a mapping"),
    "": (1, "a placement must be a mapping"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    line, message = WRONG[text]
    with pytest.raises(InputError) as error:
        Placement.load(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_is_guessed() -> None:
    with pytest.raises(InputError, match="did you mean 'paper/reduction-8'"):
        shipped.find("paper/reduction8")


def test_the_schema_takes_what_the_loader_takes(tmp_path: Path) -> None:
    schema = json.loads(json.dumps(placement.json_schema()))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for name in shipped.shipped_names():
        file = shipped.shipped_folder() / f"{name}.yaml"
        validator.validate(yaml.safe_load(file.read_text()))
    for wrong in ({"wher": "block"}, {"attention": {"combine": "summ"}}, {"schema": 2}):
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"wher": 1}'])
def test_json_that_is_no_placement(text: str) -> None:
    with pytest.raises(InputError):
        Placement.from_json(text)


def are_set(own: Settings | Placement) -> dict[str, object]:
    """What is set, and not only defaulted, with the same of what is inside."""
    found: dict[str, object] = dict.fromkeys(sorted(own.model_fields_set))
    if "attention" in found:
        found["attention"] = are_set(own.attention)
    if "insertions" in found:
        found["insertions"] = {name: are_set(site) for name, site in own.insertions.items()}
    return found


def test_overrides_change_only_what_they_set() -> None:
    base = Placement(
        model="resnet18",
        attention={"reduction": 8},
        insertions={"layer1": {"dilation": 2}},
        args={"norm_layer": None},
    )
    given = Placement(num_classes=10, attention={"dilation": 1}, args={"width_per_group": 32})
    found = base.with_overrides(given)
    assert (found.model, found.num_classes) == ("resnet18", 10)
    assert found.args == {"norm_layer": None, "width_per_group": 32}
    assert are_set(found) == {
        **dict.fromkeys(("args", "model", "num_classes")),
        "attention": dict.fromkeys(("dilation", "reduction")),
        "insertions": {"layer1": {"dilation": None}},
    }
    elsewhere = base.with_overrides(Placement(where="layer2"))
    assert (elsewhere.patterns(), elsewhere.insertions) == (("layer2",), {})
    assert are_set(elsewhere)["attention"] == {"reduction": None}


def test_an_override_of_another_module_brings_its_own_hyperparameters() -> None:
    block = Placement(attention={"module": "extra-block"})
    gated = Placement(attention={"reduction": 8, "init": "identity"}).with_overrides(block)
    assert gated.attention.hyperparameters() == {"init": "identity"}
    with pytest.raises(InputError, match=r"extra-block is a copy.*drop reduction$"):
        block.with_overrides(Placement(attention={"reduction": 4}))


@pytest.mark.parametrize("module", ["bam", "extra-block"])
def test_a_file_says_how_weights_start_only_where_that_was_chosen(
    module: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    for start in ({}, {"init": "kaiming"}, {"init": "identity"}):
        written = Placement(model="resnet18", attention={"module": module, **start})
        written.save(path)
        for loaded in (Placement.load(path), Placement.from_json(written.to_json())):
            assert loaded == written
            assert ("init" in loaded.attention.model_fields_set) == bool(start)


def test_a_site_with_its_variants_own_combine_keeps_it(tmp_path: Path) -> None:
    """Beside `combine: max` for all, a site that leaves it out must say its own in a file."""
    shared = Placement(attention={"variant": "official", "combine": "max"})
    pinned = shared.with_sites({"a": shared.attention, "b": attention(variant="official")})
    pinned.save(tmp_path / "p.yaml")
    loaded = Placement.load(tmp_path / "p.yaml")
    combined = overridden(loaded.attention, loaded.insertions["b"]).hyperparameters()["combine"]
    assert combined == "product"
