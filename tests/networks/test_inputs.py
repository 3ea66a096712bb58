"""Inputs as people write them."""

import pytest
from torch import Tensor, nn

from bamctl import Placement, analyze, insert
from bamctl.errors import InputError
from bamctl.networks import example, inputs
from bamctl.networks.inputs import Input
from bamctl.surgery.proof import prove
from tests.networks import Residual


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("3x224x224", (Input((3, 224, 224)),)),
        ((3, 16, 112, 112), (Input((3, 16, 112, 112)),)),
        ([3, 64, 64], (Input((3, 64, 64)),)),
        (["3x64x64", "10:int64"], (Input((3, 64, 64)), Input((10,), "int64"))),
        ([(3, 8, 8), (5,)], (Input((3, 8, 8)), Input((5,)))),
        (7, (Input((7,)),)),
        (["3x8x8", "N"], (Input((3, 8, 8)), Input(()))),
        (["3x8x8", "N:int64"], (Input((3, 8, 8)), Input((), "int64"))),
        ([(3, 8, 8), ()], (Input((3, 8, 8)), Input(()))),
    ],
)
def test_what_is_read(given: object, expected: inputs.Inputs) -> None:
    assert inputs.read(given) == expected
    assert inputs.read([str(each) for each in expected]) == expected


@pytest.mark.parametrize(
    "given", ["", "x3", "3x", "3x0x4", "3*4", "3x4:int63", "n", "Nx3", "N:", (3, -1), 3.5, []]
)
def test_what_is_no_input_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="like 3x224x224"):
        inputs.read(given)


class Denoiser(nn.Module):
    """Takes an image and its time step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Embedding(10, 8)
        self.body = nn.Sequential(Residual(3, 8, 2), Residual(8, 8, 2))

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        assert step.shape == x.shape[:1]
        return self.body[1](self.body[0](x) + self.steps(step)[..., None, None])


def test_a_number_for_each_image_is_an_input() -> None:
    given = ["3x16x16", "N:int64"]
    assert analyze(Denoiser(), input_shape=given).strategies["bottleneck"].modules == ["body.0"]
    model = insert(Denoiser(), input_shape=given)
    arguments = example.arguments(model, inputs.read(given), batch_size=4)
    assert [tuple(each.shape) for each in arguments] == [(4, 3, 16, 16), (4,)]
    assert prove(model, given).output_shapes == {"": (1, 8, 4, 4)}
    placement = Placement(where="body.0", input=given)
    assert Placement.from_options(placement.as_dict()).input == inputs.read(given)
