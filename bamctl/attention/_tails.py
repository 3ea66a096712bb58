"""Recompute a branch's last layers in the backward pass instead of saving their activations.

Their input has a sixteenth of the map's channels, or one value per channel, so the recomputation is
cheap; and that input is saved anyway, for the layers before them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as of_any_module

from bamctl.attention.layers import BatchNorm1d, BatchNorm2d, BatchNorm3d, has_one_value_each
from bamctl.networks.observed import is_observed


@dataclass(frozen=True)
class Part:
    """The output of a branch, and how to recompute it from saved tensors.

    Gradients flow to the saved tensors `kept`; `value` is detached from the graph.
    """

    value: Tensor
    kept: Sequence[Tensor]
    again: Callable[..., Tensor]


def part(branch: nn.Module, x: Tensor, missing_axes: int) -> Part | Tensor:
    """Return the output of a branch, with the axes that broadcast it to the map.

    It is a plain tensor if the branch cannot be split, or under a tracer, compiler or transform.
    """
    tail = _tail(branch, x)
    if not tail:
        return broadcastable(branch(x), missing_axes)
    assert isinstance(branch, nn.Sequential)
    for layer in list(branch)[: -len(tail)]:
        x = layer(x)
    hidden, steps = x, []
    with torch.no_grad():
        for layer in tail:
            steps.append(_AGAIN[type(layer)](layer, x))
            x = layer(x)
    kept = [hidden, *(tensor for step in steps for tensor in step.tensors)]
    return Part(broadcastable(x, missing_axes), kept, partial(_again, steps, missing_axes))


def broadcastable(x: Tensor, missing_axes: int) -> Tensor:
    """Return a tensor with additional trailing axes of length 1."""
    for _ in range(missing_axes):
        x = x.unsqueeze(-1)
    return x


@dataclass(frozen=True)
class _Step:
    """The recomputation of a layer, as a function of its input and its tensors."""

    compute: Callable[..., Tensor]
    tensors: Sequence[Tensor]


def _again(steps: Sequence[_Step], missing_axes: int, x: Tensor, *tensors: Tensor) -> Tensor:
    """Recompute the layers; `tensors` are their parameters, to which gradients flow."""
    left = iter(tensors)
    for step in steps:
        x = step.compute(x, *islice(left, len(step.tensors)))
    return broadcastable(x, missing_axes)


def _linear(layer: nn.Linear, x: Tensor) -> _Step:
    return _Step(F.linear, (layer.weight, layer.bias))


def _conv(layer: nn.Conv2d | nn.Conv3d, x: Tensor) -> _Step:
    assert layer.bias is not None
    return _Step(layer._conv_forward, (layer.weight, layer.bias))


def _batch_norm(norm: Any, x: Tensor) -> _Step:
    """Return a step that leaves running statistics alone, so that they are updated only once."""
    is_of_batch = norm.running_mean is None or (norm.training and not has_one_value_each(x, norm))

    def compute(x: Tensor, weight: Tensor, bias: Tensor, *statistics: Tensor) -> Tensor:
        mean, var = statistics or (None, None)
        return F.batch_norm(x, mean, var, weight, bias, training=is_of_batch, eps=norm.eps)

    statistics = () if is_of_batch else (norm.running_mean, norm.running_var)
    return _Step(compute, (norm.weight, norm.bias, *statistics))


_AGAIN: dict[type[nn.Module], Callable[[Any, Tensor], _Step]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    BatchNorm1d: _batch_norm,
    BatchNorm2d: _batch_norm,
    BatchNorm3d: _batch_norm,
}


def _tail(branch: nn.Module, x: Tensor) -> list[nn.Module]:
    """Return the layers behind the last activation if all can be recomputed, or else none."""
    if isinstance(x, torch.fx.Proxy) or is_observed() or not torch.is_grad_enabled():
        return []
    if not isinstance(branch, nn.Sequential) or _is_autocast(x.device.type):
        return []
    backwards = reversed(list(branch))
    tail = list(takewhile(lambda layer: not isinstance(layer, nn.ReLU), backwards))[::-1]
    is_hooked = any(map(_is_hooked, (branch, *tail)))
    return tail if not is_hooked and all(type(layer) in _AGAIN for layer in tail) else []


def _is_autocast(device: str) -> bool:
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _is_hooked(module: nn.Module) -> bool:
    """Return whether a module has hooks, or global module hooks are registered."""
    return any(
        getattr(module, f"_{kind}_hooks") or getattr(of_any_module, f"_global_{kind}_hooks")
        for kind in ("forward", "forward_pre", "backward", "backward_pre")
    )
