"""Limits as people write them, and nothing else."""

from fractions import Fraction

import jsonschema
import pytest

from bamctl import Placement
from bamctl.errors import InputError
from bamctl.placement.budget import Budget, parse_limit
from bamctl.placement.placement import json_schema


@pytest.mark.parametrize(
    ("metric", "text", "amount"),
    [
        ("params", "26 M", 26_000_000),
        ("params", "26M", 26_000_000),
        ("params", "25,917,793 params", 25_917_793),
        ("params", "1.5 k params", 1_500),
        ("macs", "4.2 GMACs", 4_200_000_000),
        ("macs", "7 MACs", 7),
        ("memory", "110 MB", 110_000_000),
        ("memory", "1.5 KiB", 1_536),
        ("weights_file", "  2   GiB ", 2 * 2**30),
        ("latency", "3 ms", Fraction(3, 1_000)),
        ("latency", "1.5 µs", Fraction(3, 2_000_000)),
    ],
)
def test_an_amount(metric: str, text: str, amount: int | Fraction) -> None:
    limit = parse_limit(metric, text)
    assert not limit.is_relative
    assert limit.above(12345) == amount


def test_a_relative_limit_is_exact() -> None:
    # A third decimal in binary would be off by a hair, and a hair is a parameter.
    assert parse_limit("params", "+0.1 %").above(1_000) == 1_001
    assert parse_limit("macs", "+33.333%").above(3) == Fraction(399_999, 100_000)
    assert parse_limit("memory", "+0 %").above(10**12) == 10**12


@pytest.mark.parametrize(
    ("metric", "value", "message"),
    [
        ("params", 2, "'2' has no unit; write it like '26 M'"),
        ("params", "2", "'2' has no unit"),
        ("params", 2.5, "'2.5' has no unit"),
        ("params", "2 m", "the unit of '2 m' does not fit"),
        ("params", "2 MB", "the unit of '2 MB' does not fit"),
        ("macs", "4 GFLOPs", "units: MACs, kMACs, MMACs, GMACs, TMACs"),
        ("memory", "4 Mb", "units: B, kB, MB, GB, KiB, MiB, GiB"),
        ("params", "2 %", "write .2 % for two percent above the unmodified network"),
        ("params", "-2 %", "write .2 % for two percent above"),
        ("params", "+2", "is not a limit"),
        ("params", "1e6 M", "is not a limit"),
        ("params", "1,00 M", "is not a limit"),
        ("params", "", "is not a limit"),
        ("params", None, "is not a limit"),
        ("params", True, "is not a limit"),
        ("params", ["26 M"], "is not a limit"),
        ("params", "nan M", "is not a limit"),
        ("params", "9" * 5000 + " M", "is not a limit"),
    ],
)
def test_what_is_no_limit_says_what_would_be(metric: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_limit(metric, value)


def test_levels_and_order() -> None:
    budget = Budget.model_validate(
        {"memory": "+9 %", "params": {"max": "26 M"}, "macs": {"max": "+2 %", "level": "warn"}}
    )
    found = {metric: (own.max, own.level) for metric, own in budget.allowances().items()}
    assert list(found.items()) == [
        ("params", ("26 M", "error")),
        ("macs", ("+2 %", "warn")),
        ("memory", ("+9 %", "error")),
    ]


def test_a_budget_survives_being_written() -> None:
    budget = {"params": "26 M", "macs": {"max": "+2 %", "level": "warn"}}
    placement = Placement(model="resnet50", budget=budget)
    assert placement.as_dict()["budget"] == budget
    assert Placement.from_options(placement.as_dict()) == placement
    jsonschema.validate(placement.as_dict(), json_schema())
    timed = Placement(budget={"latency": {"max": "3 ms", "device": "cuda", "batch_size": 8}})
    assert Placement.from_options(timed.as_dict()) == timed
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"budget": {"params": 2}}, json_schema())
