"""What is recorded as one node is what PyTorch's tracer records."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from bamctl.tracing import _single_nodes as single_nodes
from bamctl.tracing.trace import Trace, trace


class Applied(nn.Module):
    """Runs a function, with weights of its own."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(6, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight).relu()


def of_one_image(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x[0], weight, torch.ones(6))


def with_autocast(x: Tensor, weight: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return functional.conv2d(x, weight)


def mapped(x: Tensor, weight: Tensor) -> Tensor:
    return torch.func.vmap(lambda image: functional.conv2d(image[None], weight))(x)[0]


def with_a_stride_of_the_image(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x, weight, stride=x.shape[-1] // 4)


def with_weights_of_the_image(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x, weight * x.mean(), dilation=(1, 2), padding=[2])


def of_complex_numbers(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x + 0j, weight + 0j).real


class Image(Tensor):
    """A tensor that is looked at."""


def of_a_subclass(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x.as_subclass(Image), weight).as_subclass(Tensor)


def without_statistics(x: Tensor, weight: Tensor) -> Tensor:
    return functional.batch_norm(x, None, None, training=True)


def in_place(x: Tensor, weight: Tensor) -> Tensor:
    x = functional.conv2d(x, weight).mul_(2)
    return functional.conv2d(functional.relu_(x), torch.ones(1, 6, 1, 1)) + x


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "sequence": lambda: nn.Sequential(
        nn.Flatten(2),
        nn.Conv1d(3, 4, 5, stride=2, padding="valid", bias=False),
        nn.BatchNorm1d(4),
        nn.Conv1d(4, 4, 4, padding="same", groups=2),
    ),
    "image": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, (1, 0), padding_mode="reflect"),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.ConvTranspose2d(4, 4, 2, 2),
    ),
    "video": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 1)), nn.Conv3d(3, 4, (1, 3, 3), 2), nn.BatchNorm3d(4, momentum=None)
    ),
    "doubles": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double(),
    "parametrized": lambda: nn.Sequential(weight_norm(nn.Conv2d(3, 4, 1)), nn.ReLU()),
    **{
        each.__name__: lambda each=each: Applied(each)  # type: ignore[misc]
        for each in (
            of_one_image,
            with_autocast,
            mapped,
            with_a_stride_of_the_image,
            with_weights_of_the_image,
            of_complex_numbers,
            of_a_subclass,
            without_statistics,
            in_place,
        )
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_what_the_tracer_records(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NETWORKS[name]().eval()
    found = trace(model, (3, 16, 16))
    monkeypatch.setattr(single_nodes, "_is_recordable", lambda _: False)
    expected = trace(model, (3, 16, 16))
    assert renumbered(found) == renumbered(expected)
    assert found.operators


def test_most_are_recorded_so(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []

    def recorded(kind: str, *arguments: Any) -> Any:
        kinds.append(kind)
        return real(kind, *arguments)

    real = single_nodes._recorded
    monkeypatch.setattr(single_nodes, "_recorded", recorded)
    trace(NETWORKS["image"](), (3, 16, 16))
    assert kinds == ["aten::_convolution", "aten::batch_norm", "aten::batch_norm"]


def test_an_operator_that_fails_leaves_the_tracer_as_it_was() -> None:
    def failing(x: Tensor, weight: Tensor) -> Tensor:
        with pytest.raises(RuntimeError, match="expected input"):
            functional.conv2d(x[:, :2], weight)
        return functional.conv2d(x, weight)

    found = trace(Applied(failing), (3, 16, 16))
    assert found.macs[""] == 14 * 14 * 6 * 3 * 3 * 3


def renumbered(found: Trace) -> dict[str, Any]:
    """A trace with its values numbered in the order of their use."""
    ids: dict[int, int] = {}

    def of(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(ids.setdefault(value, len(ids)) for value in values)

    return {
        "inputs": of(found.inputs),
        "operators": [(o.kind, of(o.inputs), of(o.outputs), o.ints) for o in found.operators],
        "outputs": of(found.outputs),
        "calls": [(call.module, of(call.taken), of(call.outputs)) for call in found.calls],
        "shapes": {ids[key]: shape for key, shape in found.shapes.items() if key in ids},
        "weights": {ids[key]: shape for key, shape in found.weights.items() if key in ids},
        "costs": (found.macs, found.elementwise_ops, found.macs_by_operator, found.uncounted),
    }
