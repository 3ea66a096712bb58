"""torchvision's builders, of every family: names, default inputs, published figures, building."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bamctl.errors import BamctlError, InputError, blame, did_you_mean, first_line
from bamctl.networks.inputs import Input, Inputs

if TYPE_CHECKING:
    from torch import nn

_REGISTRATION = re.compile(r'@register_model\((?:name="(\w+)")?\)(?:.*\n)+?def (\w+)')

# Frames of a clip, as in the training of the weights for video.
_FRAMES = 16

# Detectors resize every image to a fixed size; for other networks it is in the weights' metadata.
_DETECTORS = {
    "ssd300_vgg16": 300,
    "ssdlite320_mobilenet_v3_large": 320,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 320,
}
_DETECTOR_SIDE = 800
_FLOW_SHAPE = (3, 520, 960)

# Builder arguments of the published weights, where the defaults differ.
_AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False},
    "quantized_googlenet": {"aux_logits": False},
    "deeplabv3_mobilenet_v3_large": {"aux_loss": True},
    "deeplabv3_resnet50": {"aux_loss": True},
    "deeplabv3_resnet101": {"aux_loss": True},
    "fcn_resnet50": {"aux_loss": True},
    "fcn_resnet101": {"aux_loss": True},
}


@cache
def families() -> dict[str, str]:
    """Return the family of every builder, by name, without importing torchvision.

    They are parsed from the source, since importing torchvision takes seconds, too long for a
    mistyped name or shell completion.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent / "models"
    by_name = {
        given or function: "classification" if path.parent == folder else path.parent.name
        for path in folder.rglob("*.py")
        for given, function in _REGISTRATION.findall(path.read_text(encoding="utf-8"))
    }
    return dict(sorted(by_name.items()))


def published(name: str) -> dict[str, Any]:
    """Return torchvision's metadata of a builder's default weights: `num_params`, `_ops`, ...

    `num_params` counts parameters; `_ops` is in 1e9 multiply-adds at the default input.
    """
    import torchvision

    meta: dict[str, Any] = torchvision.models.get_model_weights(name).DEFAULT.meta
    return meta


@cache
def default_inputs(name: str) -> Inputs:
    """Return the input shape of the builder's default weights; for video, 16 frames."""
    family = families()[name]
    if family == "optical_flow":
        return (Input(_FLOW_SHAPE),)
    if family == "detection":
        side = _DETECTORS.get(name, _DETECTOR_SIDE)
        return (Input((3, side, side)),)
    import torchvision

    given = torchvision.models.get_model_weights(name).DEFAULT.transforms.keywords
    size = given["resize_size" if family == "segmentation" else "crop_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return (Input((3, *([_FRAMES] if family == "video" else []), height, width)),)


def build(
    name: str,
    *,
    inputs: Inputs | None = None,
    num_classes: int | None = None,
    stem: str | None = None,
    args: Mapping[str, Any] | None = None,
    weights: str | None = None,
    initialize: bool = True,
) -> "nn.Module":
    """Build a network by its name; see `models.build` for the arguments."""
    if inputs is not None:
        _check_inputs(name, inputs)
    if weights is not None:
        _check_weights(name, weights, num_classes)
    if args and "weights" in args:
        raise InputError("--arg weights is not supported; use --weights")
    builder_options = options(name, inputs=inputs, num_classes=num_classes, args=args)
    make = partial(_made, name, stem, weights=weights, **builder_options)
    try:
        model = _quietly(make) if initialize or weights else _without_weights(make)
    except OSError as error:
        raise BamctlError(
            f"cannot download {weights} of {name}: {first_line(error)}; give a file to --weights"
        ) from error
    except (ValueError, RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise blame(error, f"cannot build {name} as requested", first_line(error)) from error
    return model


def _made(name: str, stem: str | None, /, **given: Any) -> "nn.Module":
    import torchvision

    model: nn.Module = torchvision.models.get_model(name, **given)
    if stem is not None:
        _give_small_stem(name, model)
    return model


def options(
    name: str,
    *,
    inputs: Inputs | None = None,
    num_classes: int | None = None,
    args: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments for `torchvision.models.get_model`, without `weights`."""
    known = {**_AS_PUBLISHED.get(name, {}), **_size_options(name, inputs)}
    if families()[name] in ("detection", "segmentation"):
        # By default, the builder downloads weights for the backbone.
        known["weights_backbone"] = None
    if num_classes is not None:
        known["num_classes"] = num_classes
    return {**known, **(args or {})}


def _check_inputs(name: str, inputs: Inputs) -> None:
    is_video = families()[name] == "video"
    axes, like = ("channels x height x width", "3x224x224")
    if is_video:
        axes, like = "channels x frames x height x width", "3x16x112x112"
    for each in inputs:
        if len(each.shape) != 3 + is_video:
            raise InputError(f"input '{each}' is not {axes}; write it like {like}")


def _check_weights(name: str, weights: str, num_classes: int | None) -> None:
    import torchvision

    # A quantizable network starts from the weights of the plain one; users quantize it later.
    known = torchvision.models.get_model_weights(name.removeprefix("quantized_"))
    names = list(dict.fromkeys(["DEFAULT", *known.__members__]))
    if weights not in names:
        raise InputError(
            f"no file {weights!r}, and {name} has no weights of that name; it has "
            f"{', '.join(names)}{did_you_mean(weights, names)}"
        )
    count = len(known[weights].meta.get("categories", ()))
    if num_classes not in (None, count):
        raise InputError(
            f"{weights} of {name} has {count} classes; drop --num-classes or --weights"
        )


def parameters_of(name: str) -> frozenset[str]:
    """Return the names of the parameters of a builder's network; none of another network."""
    import torchvision

    if name not in families():
        return frozenset()
    network = inspect.signature(torchvision.models.get_model_builder(name)).return_annotation
    return frozenset(inspect.signature(network).parameters)


def _size_options(name: str, inputs: Inputs | None) -> dict[str, Any]:
    """Return the builder's argument for the image size, where it is built for one size."""
    if inputs is None:
        return {}
    *_, height, width = inputs[0].shape
    parameters = parameters_of(name)
    if "min_size" in parameters:
        if inputs == default_inputs(name):
            return {}
        # A detector that resized the image would not run on the requested size.
        return {"min_size": min(height, width), "max_size": max(height, width)}
    if "input_size" in parameters:
        return {"input_size": (height, width)}
    if "image_size" not in parameters:
        return {}
    if height != width:
        raise InputError(f"{name} takes square images only, not {height}x{width}")
    return {"image_size": height}


def _quietly(make: Callable[[], "nn.Module"]) -> "nn.Module":
    with warnings.catch_warnings():
        # GoogLeNet and Inception warn of a future change of their initialization.
        warnings.filterwarnings("ignore", category=FutureWarning, module="torchvision")
        return make()


def _without_weights(make: Callable[[], "nn.Module"]) -> "nn.Module":
    """Build a network with zeros for weights, since random initialization dominates the time."""
    from bamctl.networks.shapes_only import built_without_weights

    try:
        return built_without_weights(partial(_quietly, make))
    except (NotImplementedError, RuntimeError):
        # A builder may read a new weight, as quantization does. Any other error occurs again with
        # weights.
        return _quietly(make)


def _give_small_stem(name: str, model: "nn.Module") -> None:
    from torch import nn

    conv_name, pool_name = stem_modules(name, model)
    old = model.get_submodule(conv_name)
    assert isinstance(old, nn.Conv2d)
    conv = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(conv_name, conv)
    model.set_submodule(pool_name, nn.Identity())


def stem_modules(name: str, model: "nn.Module") -> tuple[str, str]:
    """Return the convolution and the pooling that a small stem replaces.

    Raises:
        InputError: the network has no stem of that kind.
    """
    from torchvision.models import DenseNet, ResNet

    stems = {ResNet: ("conv1", "maxpool"), DenseNet: ("features.conv0", "features.pool0")}
    if type(model) not in stems:
        raise InputError(
            f"{name} has no small stem; ResNet, ResNeXt, Wide ResNet and DenseNet have one"
        )
    return stems[type(model)]
