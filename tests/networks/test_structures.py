"""Tensors inside of structures."""

from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

import pytest
import torch
from torch import nn

from bamctl.networks.structures import picked, replaced, tensors

Pair = namedtuple("Pair", "map size")


def test_floating_point_tensors_are_found_with_their_keys() -> None:
    one, two = torch.zeros(1), torch.ones(2)
    value = {"a": one, "b": [None, (two, torch.tensor(3.0), torch.tensor([1]))], "c": "text"}
    assert [(path, id(tensor)) for path, tensor in tensors(value)] == [
        (("a",), id(one)),
        (("b", 1, 0), id(two)),
    ]


def test_the_kind_of_structure_is_kept() -> None:
    new = torch.ones(1)
    assert replaced([1, 2], 1, new) == [1, new]
    assert replaced(Pair(1, 2), 0, new) == Pair(new, 2)
    found = replaced(OrderedDict(a=1, b=2), "a", new)
    assert isinstance(found, OrderedDict)
    assert list(found.items()) == [("a", new), ("b", 2)]


@dataclass(frozen=True)
class Frozen:
    fine: torch.Tensor
    size: int = 3


class Slotted:
    __slots__ = ("fine", "other")

    def __init__(self, fine: torch.Tensor) -> None:
        self.fine = fine


class Answer(OrderedDict):
    """As transformers' results: a mapping whose items are attributes, too."""

    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)
        super().__setattr__(key, value)


@pytest.mark.parametrize("make", [Frozen, Slotted, lambda fine: SimpleNamespace(fine=fine, size=3)])
def test_tensors_in_attributes_are_found_and_replaced(make: Callable) -> None:
    old, new = torch.zeros(1), torch.ones(1)
    value = make(old)
    assert [(path, id(tensor)) for path, tensor in tensors([value])] == [((0, "fine"), id(old))]
    changed = replaced(value, "fine", new)
    assert type(changed) is type(value)
    assert picked(changed, "fine") is new
    assert picked(value, "fine") is old
    assert getattr(changed, "size", 3) == 3


def test_a_mapping_keeps_what_it_is_made_with() -> None:
    new = torch.ones(1)
    found = replaced(defaultdict(list, a=1), "a", new)
    assert found["b"] == []
    answer = replaced(Answer(a=1, b=2), "a", new)
    assert isinstance(answer, Answer)
    assert answer.a is answer["a"] is new
    fixed = replaced(MappingProxyType({"a": 1, "b": 2}), "a", new)
    assert dict(fixed) == {"a": new, "b": 2}


def test_a_structure_may_hold_itself_and_modules() -> None:
    one = torch.zeros(1)
    value = SimpleNamespace(fine=one, module=nn.Linear(2, 2), kind=nn.Linear, python=torch)
    value.me = [value]
    assert [path for path, _ in tensors(value)] == [("fine",)]
    assert [path for path, _ in tensors([one, one])] == [(0,), (1,)]
