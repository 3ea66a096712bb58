"""A control for attention: the network, widened by a number of parameters.

It separates a gain by attention from one by more parameters. Only hidden channels are widened:
those between two layers of a block that nothing else reads, so that no shape outside it changes.
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
    """Channels that one layer outputs, channelwise operations transform, and one other layer reads.

    `channelwise` are the batch norms and depthwise convolutions between the two, by module name.
    `params_per_channel` is the number of parameters that one more channel adds.
    """

    first: str
    channelwise: tuple[str, ...]
    last: str
    width: int
    params_per_channel: int


def find_hidden(model: nn.Module, trace: Trace) -> tuple[HiddenChannels, ...]:
    """Find the hidden channels of a network, without shared layers, in forward order."""
    return tuple(_Search(model, trace).found())


def plan(hidden: Sequence[HiddenChannels], params: int) -> tuple[int, ...]:
    """Return the numbers of channels to add to each, so that they add about `params` parameters.

    All are widened by the same fraction first; the remainder is filled from the channels with the
    most parameters to those with the fewest.
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

    Existing weights are kept; those of the new channels are drawn with the standard deviation of
    the layer's weights. With `keep_outputs` the weights that read the new channels are zero, so
    that a pretrained network's outputs are unchanged (Chen et al., ICLR 2016, "Net2Net").
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
    """Search for hidden channels: follows the output of each layer to the layer that reads it."""

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
            # In a chain of layers every second width is taken: widening a layer at both ends
            # would add more parameters than the sum of the two.
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
    """Return the number of parameters per output channel."""
    return sum(p.numel() // p.shape[0] for p in module.parameters(recurse=False))


def _in_params(module: nn.Module) -> int:
    """Return the number of parameters per input channel of an ungrouped layer."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.numel() // weight.shape[1]


def _grow(module: nn.Module, count: int, *, outputs: bool, silent: bool = False) -> None:
    """Add channels to the output or the input of a layer; with `silent`, of zero weights."""
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
    """Return initial values of new channels: batch norm defaults, zero biases, normal weights."""
    shape = list(tensor.shape)
    shape[axis] = count
    if tensor.dim() == 1:
        fills = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        fill = {"weight": 1.0, "running_var": 1.0}
        name = next(n for n, t in module.state_dict(keep_vars=True).items() if t is tensor)
        return tensor.new_full(shape, fill.get(name, 0.0) if fills else 0.0)
    std = float(tensor.detach().float().std(correction=0))
    return torch.empty(shape, dtype=tensor.dtype, device=tensor.device).normal_(0.0, std)
