"""Networks by name: torchvision's builders, timm's models, and user-defined factories."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bamctl.errors import InputError, did_you_mean, shown
from bamctl.networks import factories, timm_models, torchvision_models, trust
from bamctl.networks.inputs import Input, Inputs, InputsLike, read

if TYPE_CHECKING:
    from torch import nn


def takes_small_stem(name: str, network: "nn.Module") -> bool:
    """Return whether a network can be built with `stem="small"`."""
    if name not in names():
        return False
    try:
        torchvision_models.stem_modules(name, network)
    except InputError:
        return False
    return True


def names() -> tuple[str, ...]:
    """Return the names of torchvision's builders, without importing torchvision."""
    return tuple(torchvision_models.families())


def check_name(name: str) -> str:
    """Check that a name is a torchvision builder, `timm:NAME` or `module:factory`; return it.

    Raises:
        InputError: the name is invalid.
    """
    known = names()
    if name not in known and not timm_models.is_timm(name) and not factories.is_factory(name):
        near = did_you_mean(name, known)
        near = near or (
            "; `bamctl models` lists them, timm's are timm:NAME, and your own are "
            "package.module:factory"
        )
        raise InputError(f"unknown model {shown(name)}{near}")
    return name


def check_named_by(name: str | None, file: Path) -> None:
    """Refuse a factory that only a file names, unless `trust` allows it.

    Raises:
        InputError: the factory is not trusted; the message names the option that trusts it.
    """
    if name is not None and _is_own(name):
        trust.check_file(name, file)


def trust_flag(name: str, file: Path) -> str:
    """Return ` --trust NAME` if a command needs it to build the network of a file, or nothing.

    >>> trust_flag("resnet18", Path("runs/a/config.yaml"))
    ''
    """
    return trust.flag_for(name, file) if _is_own(name) else ""


def _is_own(name: str) -> bool:
    return factories.is_factory(name) and not timm_models.is_timm(name)


def default_inputs(name: str) -> Inputs:
    """Return the input shape of the published weights, or 3x224x224 for user-defined networks.

    Raises:
        InputError: the network does not exist.
    """
    if timm_models.is_timm(name):
        return timm_models.default_inputs(name)
    if factories.is_factory(name):
        return (Input((3, 224, 224)),)
    return torchvision_models.default_inputs(check_name(name))


def build(
    name: str,
    *,
    inputs: InputsLike | None = None,
    num_classes: int | None = None,
    stem: str | None = None,
    args: Mapping[str, Any] | None = None,
    weights: str | None = None,
    initialize: bool = True,
) -> "nn.Module":
    """Build a network by its name.

    Args:
        name: a torchvision builder, such as `resnet50`, one of timm's models, such as
            `timm:convnextv2_atto`, or a user-defined factory, such as `package.module:factory`.
        inputs: the shapes of the network's inputs; some networks are built for one image size.
            Default: `default_inputs`.
        num_classes: number of classes of the head. Default: the builder's.
        stem: `small` replaces the stem of torchvision's ResNet, ResNeXt, Wide ResNet or DenseNet
            by a 3x3 stride-1 convolution without pooling, for images of about 32x32.
        args: additional keyword arguments for the builder or factory.
        weights: the name of published weights, such as `IMAGENET1K_V2` or `DEFAULT`; downloaded.
        initialize: if False, the weights of torchvision's networks are zeros that take no memory,
            which suffices for a trace.

    Raises:
        InputError: the network, weights or stem do not exist, or the options conflict.
        BamctlError: the weights cannot be downloaded.
    """
    check_name(name)
    _check_args(name, args or {}, num_classes)
    inputs = None if inputs is None else read(inputs)
    if name in names():
        return torchvision_models.build(
            name,
            inputs=inputs,
            num_classes=num_classes,
            stem=stem,
            args=args,
            weights=weights,
            initialize=initialize,
        )
    if stem is not None:
        raise InputError(f"--stem {stem} is only for torchvision's models; {name} is not one")
    if timm_models.is_timm(name):
        return timm_models.build(
            name, inputs=inputs, num_classes=num_classes, args=args, weights=weights
        )
    if weights is not None:
        raise InputError(f"there is no file {weights}, and {name} has no published weights")
    classes = {} if num_classes is None else {"num_classes": num_classes}
    return factories.build(name, **classes, **(args or {}))


# Arguments that bamctl passes to torchvision's and timm's builders itself, with their options.
_OWN_OPTIONS = {"weights": "--weights", "pretrained": "--weights"}
_BUILDERS_OWN = frozenset({"name", "model_name"})


def _check_args(name: str, args: Mapping[str, Any], num_classes: int | None) -> None:
    """Refuse builder arguments that bamctl sets by other options.

    Raises:
        InputError: `args` contains such an argument.
    """
    if num_classes is not None and "num_classes" in args:
        raise InputError("num_classes is given twice, by --arg and by --num-classes; use only one")
    if not timm_models.is_timm(name) and name not in names():
        return
    for key in args:
        if key in _OWN_OPTIONS:
            raise InputError(f"{key} is not an argument of {name}; use {_OWN_OPTIONS[key]}")
        if key in _BUILDERS_OWN:
            raise InputError(f"{key} is not an argument of {name}, which already names the network")
