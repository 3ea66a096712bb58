"""Folding of batch norms into the layers before them, for deployment."""

import copy
from collections import Counter
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from bamctl.networks import wrappers
from bamctl.networks.inputs import InputsLike
from bamctl.tracing.trace import Trace, trace

Model = TypeVar("Model", bound=nn.Module)

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def fuse(model: Model, input_shape: InputsLike = (3, 224, 224)) -> Model:
    """Return a copy of a network in eval mode, with batch norms folded into the layers before.

    A batch norm is folded into a convolution or linear layer if it is the only reader of that
    layer's output, and is replaced by `nn.Identity`. Batch norms in inserted attention modules are
    folded too. The copy is for inference.

    Args:
        model: any network; it is left unchanged.
        input_shape: the shapes of its inputs, without the batch.

    Raises:
        InputError: the network cannot run on the input, cannot be traced, or is wrapped, compiled
            or converted.

    >>> import torch
    >>> layers = fuse(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), (3, 8, 8))
    >>> [type(layer).__name__ for layer in layers]
    ['Conv2d', 'Identity']
    """
    wrappers.refuse(model, "fuse")
    fused = copy.deepcopy(model).eval()
    for layer_name, norm_name in _pairs(fused, trace(fused, input_shape)):
        _fold(fused.get_submodule(layer_name), fused.get_submodule(norm_name))
        parent, _, name = norm_name.rpartition(".")
        setattr(fused.get_submodule(parent), name, nn.Identity())
    return fused


def _pairs(model: nn.Module, traced: Trace) -> list[tuple[str, str]]:
    """Return pairs of a layer and the batch norm that alone reads its output, each called once."""
    num_calls = Counter(call.module for call in traced.calls)
    readers = Counter(value for operator in traced.operators for value in set(operator.inputs))
    readers.update(traced.outputs)
    alone = {
        call.output: call.module
        for call in traced.calls
        if call.output is not None
        and readers[call.output] == num_calls[call.module] == 1
        and _is_foldable(model.get_submodule(call.module))
    }
    return [
        (alone[call.input], call.module)
        for call in traced.calls
        if call.input in alone
        and num_calls[call.module] == 1
        and _has_statistics(model.get_submodule(call.module))
    ]


def _is_foldable(layer: nn.Module) -> bool:
    return isinstance(layer, _LAYERS) and not layer._forward_hooks


def _has_statistics(norm: nn.Module) -> bool:
    is_norm = isinstance(norm, _BatchNorm) and norm.running_mean is not None
    return is_norm and not norm._forward_pre_hooks


def _fold(layer: nn.Module, norm: nn.Module) -> None:
    fold: Any = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    layer.weight, layer.bias = fold(
        layer.weight,
        layer.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
