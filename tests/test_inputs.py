"""Inputs as people write them."""

import pytest

from bamctl import inputs
from bamctl.errors import InputError
from bamctl.inputs import Input


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("3x224x224", (Input((3, 224, 224)),)),
        ((3, 16, 112, 112), (Input((3, 16, 112, 112)),)),
        ([3, 64, 64], (Input((3, 64, 64)),)),
        (["3x64x64", "10:int64"], (Input((3, 64, 64)), Input((10,), "int64"))),
        ([(3, 8, 8), (5,)], (Input((3, 8, 8)), Input((5,)))),
        (7, (Input((7,)),)),
    ],
)
def test_what_is_read(given: object, expected: inputs.Inputs) -> None:
    assert inputs.read(given) == expected
    assert inputs.read([str(each) for each in expected]) == expected


@pytest.mark.parametrize("given", ["", "x3", "3x", "3x0x4", "3*4", "3x4:int63", (3, -1), 3.5, []])
def test_what_is_no_input_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="like 3x224x224"):
        inputs.read(given)
