"""A network made wider until it has as many more parameters as wanted: a control for attention.

A gain from more parameters is no gain from attention. What is widened are hidden channels: those
between two layers of a block that nobody else sees, so that no shape outside of the block changes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bamctl.tracing.operators import of
from bamctl.tracing.trace import ModuleCall, Operator, Trace

_Layer = nn.Conv2d | nn.Linear


@dataclass(frozen=True)
class HiddenChannels:
    """Channels that one layer makes, others treat apart, and one other layer takes.

    `channelwise` are the batch norms and depthwise convolutions between the two, by module name.
    `params_per_channel` is what one channel more adds.
    """

    first: str
    channelwise: tuple[str, ...]
    last: str
    width: int
    params_per_channel: int


def find_hidden(model: nn.Module, trace: Trace) -> tuple[HiddenChannels, ...]:
    """Hidden channels of a network that share no layer, in the order of its forward pass."""
    return tuple(_Search(model, trace).found())


def plan(hidden: Sequence[HiddenChannels], params: int) -> tuple[int, ...]:
    """Return the channels to add to each, so that the parameters come close to `params`.

    All are widened by the same fraction first; what that leaves is filled up from the dearest
    channel to the cheapest.
    """
    if not hidden:
        return ()
    low, high = 0.0, 1.0
    while _added(hidden, _even(hidden, high)) <= params:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        fits = _added(hidden, _even(hidden, middle)) <= params
        low, high = (middle, high) if fits else (low, middle)
    counts = _even(hidden, low)
    left = params - _added(hidden, counts)
    for index in sorted(range(len(hidden)), key=lambda i: -hidden[i].params_per_channel):
        more = left // hidden[index].params_per_channel
        counts[index] += more
        left -= more * hidden[index].params_per_channel
    cheapest = min(range(len(hidden)), key=lambda i: hidden[i].params_per_channel)
    if 2 * left > hidden[cheapest].params_per_channel:
        counts[cheapest] += 1
    return tuple(counts)


def widen(
    model: nn.Module,
    hidden: Sequence[HiddenChannels],
    counts: Sequence[int],
    *,
    keep_outputs: bool = False,
) -> None:
    """Add hidden channels to a network, in place.

    The weights that it has stay; those of the new channels are drawn with the spread of their
    layer's own. With `keep_outputs` nothing is made of the new channels yet, so that a pretrained
    network's outputs stay what they were (Chen et al., ICLR 2016, "Net2Net").
    """
    for channels, count in zip(hidden, counts, strict=True):
        if not count:
            continue
        _grow(model.get_submodule(channels.first), count, outputs=True)
        for name in channels.channelwise:
            _grow(model.get_submodule(name), count, outputs=True)
        _grow(model.get_submodule(channels.last), count, outputs=False, silent=keep_outputs)


def _even(hidden: Sequence[HiddenChannels], fraction: float) -> list[int]:
    return [int(fraction * each.width) for each in hidden]


def _added(hidden: Sequence[HiddenChannels], counts: Sequence[int]) -> int:
    return sum(h.params_per_channel * count for h, count in zip(hidden, counts, strict=True))


class _Search:
    """Follows what each layer makes to the one layer that takes it."""

    def __init__(self, model: nn.Module, trace: Trace) -> None:
        self._outputs = set(trace.outputs)
        self._consumers: dict[int, list[Operator]] = {}
        for operator in trace.operators:
            for value in set(operator.inputs):
                self._consumers.setdefault(value, []).append(operator)
        times = Counter(call.module for call in trace.calls)
        self._leaves: list[tuple[ModuleCall, nn.Module]] = [
            (call, model.get_submodule(call.module))
            for call in trace.calls
            if times[call.module] == 1 and not any(model.get_submodule(call.module).children())
        ]
        self._by_input = {
            call.input: (call.module, module)
            for call, module in self._leaves
            if call.input is not None and _has_weights(module)
        }

    def found(self) -> list[HiddenChannels]:
        kept: list[HiddenChannels] = []
        for call, module in self._leaves:
            each = self._follow(call, module) if _is_dense(module) else None
            # In a chain of layers every second width is taken: a layer that grew at both ends
            # would have more parameters than the sum.
            if each is not None and all(each.first != before.last for before in kept):
                kept.append(each)
        return kept

    def _follow(self, call: ModuleCall, first: nn.Module) -> HiddenChannels | None:
        assert isinstance(first, _Layer)
        value, params = call.output, _out_params(first)
        channelwise: list[str] = []
        while value is not None and value not in self._outputs:
            takers = self._consumers.get(value, [])
            if len(takers) != 1 or len(takers[0].outputs) != 1:
                return None
            name, module = self._by_input.get(value, ("", None))
            if module is None:
                if not of(takers[0].kind).channelwise:
                    return None
            elif _is_dense(module):
                params += _in_params(module)
                return HiddenChannels(call.module, tuple(channelwise), name, _width(first), params)
            elif not _is_channelwise(module):
                return None
            else:
                channelwise.append(name)
                params += _out_params(module)
            value = takers[0].outputs[0]
        return None


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _is_dense(module: nn.Module) -> bool:
    exact = type(module) in (nn.Conv2d, nn.Linear)
    return exact and getattr(module, "groups", 1) == 1


def _is_channelwise(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == module.in_channels == module.out_channels
    return isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)


def _width(layer: _Layer) -> int:
    return layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features


def _out_params(module: nn.Module) -> int:
    """Parameters for each output channel."""
    return sum(p.numel() // p.shape[0] for p in module.parameters(recurse=False))


def _in_params(module: nn.Module) -> int:
    """Parameters for each input channel of a layer that is not grouped."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.numel() // weight.shape[1]


def _grow(module: nn.Module, count: int, *, outputs: bool, silent: bool = False) -> None:
    """Give a layer more channels at its output or at its input."""
    axis = 0 if outputs else 1
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers()]:
        if tensor.dim() <= axis:
            continue
        new = _more(module, tensor, count, axis)
        grown = torch.cat([tensor.detach(), new * 0 if silent else new], axis)
        if isinstance(tensor, nn.Parameter):
            setattr(module, name, nn.Parameter(grown, tensor.requires_grad))
        else:
            module.register_buffer(name, grown)
    for names in (("out_channels", "out_features", "num_features"), ("in_channels", "in_features")):
        if (names[0] == "out_channels") == outputs:
            _count_up(module, names, count)
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        module.groups += count
        module.in_channels += count


def _count_up(module: nn.Module, names: Sequence[str], count: int) -> None:
    for name in names:
        if hasattr(module, name):
            setattr(module, name, getattr(module, name) + count)


def _more(module: nn.Module, tensor: Tensor, count: int, axis: int) -> Tensor:
    """Return initial values of new channels: those of a new batch norm, else drawn alike."""
    shape = list(tensor.shape)
    shape[axis] = count
    if tensor.dim() == 1:
        fills = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        fill = {"weight": 1.0, "running_var": 1.0}
        name = next(n for n, t in module.state_dict(keep_vars=True).items() if t is tensor)
        return tensor.new_full(shape, fill.get(name, 0.0) if fills else 0.0)
    std = float(tensor.detach().float().std(correction=0))
    return torch.empty(shape, dtype=tensor.dtype, device=tensor.device).normal_(0.0, std)
