"""timm's networks, by `timm:NAME`; timm is an extra and is imported when one is asked for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bamctl.errors import BamctlError, InputError, did_you_mean, first_line
from bamctl.inputs import Input, Inputs

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm:"


def is_timm(name: str) -> bool:
    """Whether a name is one of `timm:NAME`.

    >>> is_timm("timm:convnextv2_atto"), is_timm("resnet50")
    (True, False)
    """
    return name.startswith(PREFIX)


def default_inputs(name: str) -> Inputs:
    """The input that the network's pretrained weights expect.

    Raises:
        InputError: timm is not installed, or has no such network.
    """
    timm = _timm(name)
    config = timm.models.get_pretrained_cfg(name.removeprefix(PREFIX), allow_unregistered=True)
    return (Input(tuple(config.input_size) if config else (3, 224, 224)),)


def build(
    name: str,
    *,
    inputs: Inputs | None = None,
    num_classes: int | None = None,
    args: Mapping[str, Any] | None = None,
    weights: str | None = None,
) -> "nn.Module":
    """Build a network by its name.

    Args:
        name: as `timm:NAME`.
        inputs: what it must take; networks that are built for one size of image are told it.
        num_classes: of the head.
        args: keyword arguments for `timm.create_model`.
        weights: `DEFAULT`, or the tag of other pretrained weights; downloaded.

    Raises:
        InputError: timm is not installed, has no such network, or cannot build it so.
    """
    timm, own = _timm(name), name.removeprefix(PREFIX)
    options = dict(args or {})
    if num_classes is not None:
        options["num_classes"] = num_classes
    if weights is not None:
        options["pretrained"] = True
        own = own if weights == "DEFAULT" else f"{own.partition('.')[0]}.{weights}"
    made_for = {}
    if inputs is not None and inputs != default_inputs(name):
        made_for = {"img_size": inputs[0].shape[-2:]}
    try:
        try:
            model: nn.Module = timm.create_model(own, **options, **made_for)
        except TypeError:
            # Most networks take any size, and no argument for it.
            model = timm.create_model(own, **options)
    except OSError as error:
        raise BamctlError(
            f"cannot download the weights of {name}: {first_line(error)}; give a file to --weights"
        ) from error
    except Exception as error:  # whatever a builder raises
        raise InputError(f"{name} cannot be built so: {first_line(error)}") from error
    return model


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"{name} needs timm: pip install 'bamctl[timm]' ({first_line(error)})"
        ) from error
    own = name.removeprefix(PREFIX)
    if not timm.is_model(own):
        known = timm.list_models()
        near = did_you_mean(own, known) or "; `timm.list_models()` has all"
        raise InputError(f"timm has no model {own!r}{near}")
    return timm
