"""What is recorded as one node is what PyTorch's tracer records."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.overrides import TorchFunctionMode

from bamctl.networks import models
from bamctl.tracing import _single_nodes as single_nodes
from bamctl.tracing.trace import Trace, trace


class Applied(nn.Module):
    """Runs a function with a convolution and a batch norm."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.conv, self.norm).relu()


def of_one_image(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    return conv(x[0])


def with_autocast(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return norm(conv(x))


def mapped(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    return torch.func.vmap(lambda image: conv._conv_forward(image[None], conv.weight, None))(x)[0]


def with_weights_of_the_image(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    return conv._conv_forward(x, conv.weight * x.mean(), None)


def of_a_negative_view(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    return conv(torch._neg_view(x))


class Image(Tensor):
    """A tensor that is looked at."""


def of_a_subclass(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    return norm(conv(x.as_subclass(Image))).as_subclass(Tensor)


def in_training(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    return norm.train()(conv(x))


def in_place(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    return norm(functional.relu_(conv(x).mul_(2))).add_(x.mean())


class Doubling(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return result * 2 if func is functional.conv2d else result


def with_a_mode(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    with Doubling():
        return norm(conv(x))


class Shifted(nn.Conv2d):
    """A convolution with another forward pass, as some libraries have."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x - 1, weight, bias) + 1


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "sequence": lambda: nn.Sequential(
        nn.Flatten(2),
        nn.Conv1d(3, 4, 5, stride=2, padding="valid", bias=False),
        nn.BatchNorm1d(4),
        nn.Conv1d(4, 4, 4, padding="same", groups=2),
        nn.Conv1d(4, 2, 3, dilation=2),
    ),
    "image": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, (1, 0), padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, (2, 1), (1, 0)),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.ConvTranspose2d(4, 4, 2, 2),
        Shifted(4, 4, 1),
    ),
    "video": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 1)), nn.Conv3d(3, 4, (1, 3, 3), 2), nn.BatchNorm3d(4, momentum=None)
    ),
    "doubles": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double(),
    "parametrized": lambda: nn.Sequential(weight_norm(nn.Conv2d(3, 4, 1)), nn.ReLU()),
    "on meta": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).to("meta"),
    **{
        each.__name__: lambda each=each: Applied(each)  # type: ignore[misc]
        for each in (
            of_one_image,
            with_autocast,
            mapped,
            with_weights_of_the_image,
            of_a_negative_view,
            of_a_subclass,
            in_training,
            in_place,
            with_a_mode,
        )
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_what_the_tracer_records(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NETWORKS[name]().eval()
    found = trace(model, (3, 16, 16))
    assert not any({"forward", "_conv_forward"} & vars(module).keys() for module in model.modules())
    monkeypatch.setattr(single_nodes, "_stand_ins", lambda _: [])
    expected = trace(model, (3, 16, 16))
    assert renumbered(found) == renumbered(expected)
    assert found.operators


def test_a_convolution_that_somebody_replaced_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    def centered(x: Tensor, weight: Tensor, *arguments: Any) -> Tensor:
        return real(x, weight - weight.mean(), *arguments).tanh()

    real = functional.conv2d
    monkeypatch.setattr(functional, "conv2d", centered)
    found = trace(nn.Sequential(nn.Conv2d(3, 4, 3)), (3, 16, 16))
    kinds = [each.kind for each in found.operators]
    assert kinds == ["aten::mean", "aten::sub", "aten::_convolution", "aten::tanh"]


def test_most_are_recorded_so(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []

    def recorded(kind: str, *arguments: Any) -> Any:
        kinds.append(kind)
        return real(kind, *arguments)

    real = single_nodes._recorded
    monkeypatch.setattr(single_nodes, "_recorded", recorded)
    trace(NETWORKS["image"](), (3, 16, 16))
    assert kinds == ["aten::_convolution", "aten::batch_norm"]


def test_an_operator_that_fails_leaves_the_tracer_as_it_was() -> None:
    def failing(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
        with pytest.raises(RuntimeError, match="expected input"):
            conv._conv_forward(x[:, :2], conv.weight, None)
        return conv(x)

    found = trace(Applied(failing), (3, 16, 16))
    assert found.macs[""] == 14 * 14 * 6 * 3 * 3 * 3


def test_convolutions_may_be_as_precise_as_one_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cuDNN's convolutions and RNNs differ in it, its common setting cannot be read."""

    class Differing:
        def __get__(self, *_: object) -> bool:
            raise RuntimeError("mixed use")

    monkeypatch.setattr(type(torch.backends.cudnn), "allow_tf32", Differing())
    with pytest.raises(RuntimeError, match="mixed use"):
        assert torch.backends.cudnn.allow_tf32
    for initialize in (True, False):
        assert trace(models.build("resnet18", initialize=initialize), (3, 64, 64)).macs[""] > 0


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
