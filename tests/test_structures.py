"""Tensors inside of structures."""

from collections import OrderedDict, namedtuple

import torch

from bamctl.structures import replaced, tensors

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
