"""Example arguments for a network, from the shapes of its inputs."""

import inspect
import sys
from typing import Any

import torch
from torch import Tensor, nn

from bamctl.networks.inputs import Input, Inputs


def arguments(
    model: nn.Module, inputs: Inputs, batch_size: int = 1, generator: torch.Generator | None = None
) -> tuple[Any, ...]:
    """Return the positional arguments of one forward pass in eval mode.

    A single input is repeated for every argument that the network requires, as optical flow needs
    two images. torchvision's detectors get the batch as a list of images.

    Args:
        model: the network; tensors get its device, and its dtype if an input has none.
        inputs: the shapes of its inputs, without the batch.
        batch_size: number of images in a batch.
        generator: draws floating-point inputs from a normal distribution; zeros if None.
    """
    if len(inputs) == 1:
        inputs *= max(1, _num_required(model))
    tensors = [_tensor(model, each, batch_size, generator) for each in inputs]
    return (list(tensors[0]), *tensors[1:]) if is_detector(model) else tuple(tensors)


def training_arguments(
    model: nn.Module, inputs: Inputs, batch_size: int = 1, generator: torch.Generator | None = None
) -> tuple[Any, ...]:
    """Return the positional arguments of one forward pass in training mode.

    A detector also gets targets: one object in the middle of each image.
    """
    given = arguments(model, inputs, batch_size, generator)
    return (*given, list(map(_target, given[0]))) if is_detector(model) else given


def is_detector(model: nn.Module) -> bool:
    """Return whether a network takes lists of images, as all of torchvision's detectors do."""
    module = sys.modules.get("torchvision.models.detection.transform")
    kind = getattr(module, "GeneralizedRCNNTransform", ())
    return any(isinstance(child, kind) for child in model.children())


def typical_weight(model: nn.Module) -> Tensor:
    """Return a tensor of the network's device and dtype: its first floating-point parameter."""
    return next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))


def _target(image: Tensor) -> dict[str, Tensor]:
    height, width = image.shape[-2:]
    box = [width / 4, height / 4, 3 * width / 4, 3 * height / 4]
    mask = torch.zeros(1, height, width, dtype=torch.uint8, device=image.device)
    mask[:, height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    # A person in COCO has 17 keypoints: x, y and visibility.
    keypoints = torch.tensor([[[width / 2, height / 2, 1.0]] * 17], device=image.device)
    return {
        "boxes": torch.tensor([box], device=image.device),
        "labels": torch.ones(1, dtype=torch.int64, device=image.device),
        "masks": mask,
        "keypoints": keypoints,
    }


def _num_required(model: nn.Module) -> int:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model.forward).parameters.values()
    return sum(1 for p in parameters if p.kind in positional and p.default is p.empty)


def _tensor(
    model: nn.Module, given: Input, batch_size: int, generator: torch.Generator | None
) -> Tensor:
    like = typical_weight(model)
    dtype = getattr(torch, given.dtype) if given.dtype else like.dtype
    shape = (batch_size, *given.shape)
    if generator is None or not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype, device=like.device)
    # Drawn on the CPU in single precision, so that the values are equal on every device and dtype.
    return torch.randn(shape, generator=generator).to(device=like.device, dtype=dtype)
