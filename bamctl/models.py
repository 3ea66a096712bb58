"""The networks that have a name: torchvision's classification builders, and one's own factories."""

import inspect
import re
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bamctl import factories
from bamctl.errors import BamctlError, InputError, did_you_mean, first_line

if TYPE_CHECKING:
    from torch import nn

InputShape = tuple[int, int, int]

# GoogLeNet's published weights come without its auxiliary heads, its bare builder adds them.
_AS_PUBLISHED: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False}}


@cache
def names() -> tuple[str, ...]:
    """The names of torchvision's classification builders, without importing torchvision.

    They are read off the source, since importing it takes seconds that a mistyped name or a shell
    completion should not cost.
    """
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return ()
    found: list[str] = []
    for path in (Path(spec.origin).parent / "models").glob("*.py"):
        registrations = path.read_text(encoding="utf-8").split("@register_model(")[1:]
        matches = (re.search(r"^def (\w+)", text, re.MULTILINE) for text in registrations)
        found += [match[1] for match in matches if match]
    return tuple(sorted(found))


def check_name(name: str) -> str:
    """The name, when it is that of a torchvision classification builder, or `module:factory`.

    Raises:
        InputError: it is neither.
    """
    known = names()
    if name not in known and not factories.is_factory(name):
        near = did_you_mean(name, known)
        near = near or "; `bamctl models` lists them, and one of your own is package.module:factory"
        raise InputError(f"unknown model {name!r}{near}")
    return name


def published(name: str) -> dict[str, Any]:
    """What torchvision publishes of a builder's default weights: `num_params`, `_ops`, and more.

    `num_params` counts parameters; `_ops` is in 1e9 multiply-adds at `default_input_shape`.
    """
    import torchvision

    meta: dict[str, Any] = torchvision.models.get_model_weights(name).DEFAULT.meta
    return meta


def default_input_shape(name: str) -> InputShape:
    """The crop that the builder's default weights expect, as channels, height and width.

    For a factory of one's own, 3x224x224.
    """
    if factories.is_factory(name):
        return (3, 224, 224)
    import torchvision

    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms
    side = transforms.keywords["crop_size"]
    return (3, side, side)


def build(
    name: str,
    *,
    input_shape: InputShape | None = None,
    num_classes: int | None = None,
    stem: str | None = None,
    weights: str | None = None,
    initialize: bool = True,
) -> "nn.Module":
    """Build a network by its name.

    Args:
        name: a torchvision classification builder, such as `resnet50`, or a factory of one's own,
            such as `package.module:factory`, which is called without arguments, or with
            `num_classes` where that is given.
        input_shape: channels, height and width that the network must take; a Vision Transformer
            is built for one size of image. The builder's own where left out.
        num_classes: classes of the head; 1000 where left out.
        stem: `small` puts a 3x3 stride-1 convolution without pooling in place of the stem of a
            ResNet, ResNeXt, Wide ResNet or DenseNet, for images of about 32x32.
        weights: the name of published weights, such as `IMAGENET1K_V2` or `DEFAULT`; downloaded.
        initialize: False leaves every weight zero, which a trace of shapes can live with.

    Raises:
        InputError: there is no such builder, weight or stem, or the options do not go together.
    """
    if factories.is_factory(name):
        return _from_factory(name, num_classes, stem, weights)
    import torchvision

    check_name(name)
    if weights is not None:
        _check_weights(name, weights, num_classes)
    options = {**_AS_PUBLISHED.get(name, {}), **_size_options(name, input_shape)}
    if num_classes is not None:
        options["num_classes"] = num_classes
    make = partial(torchvision.models.get_model, name, weights=weights, **options)
    try:
        model = _quietly(make) if initialize or weights else _uninitialized(make)
    except OSError as error:
        raise BamctlError(
            f"cannot download {weights} of {name}: {first_line(error)}; give a file to --weights"
        ) from error
    except (ValueError, RuntimeError, AssertionError) as error:
        raise InputError(f"{name} cannot be built so: {first_line(error)}") from error
    if stem is not None:
        _give_small_stem(name, model)
    return model


def _from_factory(
    name: str, num_classes: int | None, stem: str | None, weights: str | None
) -> "nn.Module":
    for option, value in (("stem", stem), ("weights", weights)):
        if value is not None:
            raise InputError(f"--{option} {value} is for torchvision's models; {name} is your own")
    return factories.build(name, **({} if num_classes is None else {"num_classes": num_classes}))


def _check_weights(name: str, weights: str, num_classes: int | None) -> None:
    import torchvision

    known = ["DEFAULT", *torchvision.models.get_model_weights(name).__members__]
    if weights not in known:
        raise InputError(
            f"no file {weights!r}, and {name} has no weights of that name; it has "
            f"{', '.join(dict.fromkeys(known))}{did_you_mean(weights, known)}"
        )
    if num_classes not in (None, 1000):
        raise InputError(f"{weights} of {name} has 1000 classes; drop --num-classes or --weights")


def _size_options(name: str, input_shape: InputShape | None) -> dict[str, Any]:
    """What tells a builder the size of image, for the networks that are built for one size."""
    import torchvision

    if input_shape is None:
        return {}
    _, height, width = input_shape
    network = inspect.signature(torchvision.models.get_model_builder(name)).return_annotation
    parameters = inspect.signature(network).parameters
    if "input_size" in parameters:
        return {"input_size": (height, width)}
    if "image_size" not in parameters:
        return {}
    if height != width:
        raise InputError(f"{name} takes square images only, not {height}x{width}")
    return {"image_size": height}


def _quietly(make: Callable[[], "nn.Module"]) -> "nn.Module":
    with warnings.catch_warnings():
        # GoogLeNet and Inception warn that their initialisation will change one day.
        warnings.filterwarnings("ignore", category=FutureWarning, module="torchvision")
        return make()


def _uninitialized(make: Callable[[], "nn.Module"]) -> "nn.Module":
    """The network with every weight zero: random initialisation takes longer than the rest."""
    import torch

    try:
        with torch.device("meta"):
            model = _quietly(make)
    except NotImplementedError:
        # A RegNet plans its blocks with tensors and reads the numbers off them.
        return _quietly(make)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.zero_()
    return model


def _give_small_stem(name: str, model: "nn.Module") -> None:
    from torch import nn
    from torchvision.models import DenseNet, ResNet

    stems: dict[type[nn.Module], tuple[str, str]] = {
        ResNet: ("conv1", "maxpool"),
        DenseNet: ("features.conv0", "features.pool0"),
    }
    if type(model) not in stems:
        raise InputError(
            f"{name} has no small stem; ResNet, ResNeXt, Wide ResNet and DenseNet have one"
        )
    conv_name, pool_name = stems[type(model)]
    old = model.get_submodule(conv_name)
    assert isinstance(old, nn.Conv2d)
    conv = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(conv_name, conv)
    model.set_submodule(pool_name, nn.Identity())
