"""Operators that users have counted, in Python, on a real custom operator."""

from collections.abc import Iterator
from math import prod

import pytest
import torch
from torch import Tensor, nn

import bamctl
from bamctl.errors import InputError
from bamctl.tracing import operator_costs


@torch.library.custom_op("bamctltest::scan", mutates_args=())
def scan(x: Tensor, weight: Tensor, taps: list[int], label: str | None = None) -> Tensor:
    """Adds to each pixel what a matrix makes of its channels."""
    return x + torch.einsum("nchw,dc->ndhw", x, weight)


class Scanned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.weight = nn.Parameter(torch.ones(8, 8))
        self.head = nn.Conv2d(8, 8, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(scan(self.stem(x), self.weight, [1, 2], "both"))


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(operator_costs, "_registered", {})
    return None


def test_a_custom_operator_is_counted_as_its_user_says() -> None:
    before = bamctl.analyze(Scanned(), input_shape=(3, 16, 16)).trace
    assert before.uncounted == {"bamctltest::scan": 1}
    seen = []

    def macs(inputs: list, outputs: list) -> int:
        seen.append((inputs, outputs))
        return prod(outputs[0]) * inputs[1][1]

    bamctl.register_operator(
        "bamctltest::scan", macs=macs, elementwise=lambda inputs, outputs: prod(outputs[0])
    )
    after = bamctl.analyze(Scanned(), input_shape=(3, 16, 16)).trace
    assert after.uncounted == {}
    # Each of 8 channels of 16x16 pixels sums over 8 channels, and is added to what was there.
    assert after.macs[""] - before.macs[""] == 8 * 16 * 16 * 8
    assert after.elementwise_ops[""] - before.elementwise_ops[""] == 8 * 16 * 16
    assert after.macs_by_operator["bamctltest::scan"] == 8 * 16 * 16 * 8
    assert seen[0] == ([(1, 8, 16, 16), (8, 8), [1, 2], "both"], [(1, 8, 16, 16)])


def test_what_was_registered_is_replaced() -> None:
    for number in (5, 7):
        bamctl.register_operator("bamctltest::scan", macs=lambda *_, n=number: n)
    traced = bamctl.analyze(Scanned(), input_shape=(3, 16, 16)).trace
    assert traced.macs_by_operator["bamctltest::scan"] == 7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bamctltest::scam", "unknown operator 'bamctltest::scam' .did you mean"),
        ("nobody", "unknown operator 'nobody'; write it as it is listed"),
        ("aten::relu", "aten::relu is already counted"),
        ("aten::relu_", "aten::relu_ is already counted"),
        ("torchvision::deform_conv2d", "is already counted"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as told:
        bamctl.register_operator(name, macs=lambda inputs, outputs: 1)
    assert "\n" not in str(told.value)


def test_nothing_to_count_by_is_refused() -> None:
    with pytest.raises(InputError, match="pass macs, elementwise or both"):
        bamctl.register_operator("bamctltest::scan")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (lambda inputs, outputs: inputs[9], "IndexError: list index out of range"),
        (lambda inputs, outputs: 1.5, "TypeError: 'float' object"),
    ],
)
def test_a_count_that_fails_names_the_operator(count: object, words: str) -> None:
    bamctl.register_operator("bamctltest::scan", macs=count)
    with pytest.raises(InputError, match="cannot compute the cost of bamctltest::scan") as told:
        bamctl.analyze(Scanned(), input_shape=(3, 16, 16))
    assert words in str(told.value)
