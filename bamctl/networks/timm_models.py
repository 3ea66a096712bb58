"""timm's networks, by `timm:NAME`; timm is an optional dependency and imported on demand."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bamctl.errors import BamctlError, InputError, blame, did_you_mean, first_line, let_through
from bamctl.networks.inputs import Input, Inputs

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm:"

# Arguments that name a weights file, which older releases of timm unpickle without `weights_only`,
# so that it can execute code.
_FILES = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay")


def is_timm(name: str) -> bool:
    """Return whether a name is one of `timm:NAME`.

    >>> is_timm("timm:convnextv2_atto"), is_timm("resnet50")
    (True, False)
    """
    return name.startswith(PREFIX)


def default_inputs(name: str) -> Inputs:
    """Return the input shape of the network's pretrained weights.

    Raises:
        InputError: timm is not installed, or has no such network.
    """
    config = _config(name)
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
        name: the name, as `timm:NAME`.
        inputs: the shapes of its inputs; networks with a fixed image size are built for it.
        num_classes: number of classes of the head.
        args: keyword arguments for `timm.create_model`.
        weights: `DEFAULT`, or the tag of other pretrained weights; downloaded.

    Raises:
        InputError: timm is not installed, has no such network, or cannot build it so.
    """
    timm, timm_name = _timm(name), name.removeprefix(PREFIX)
    options = dict(args or {})
    for argument in _FILES:
        if argument in options:
            raise InputError(f"{argument} is not supported; pass a file to --weights")
    if num_classes is not None:
        options["num_classes"] = num_classes
    if weights is not None:
        options["pretrained"] = True
        timm_name = (
            timm_name if weights == "DEFAULT" else f"{timm_name.partition('.')[0]}.{weights}"
        )
    try:
        made: nn.Module = timm.create_model(timm_name, **options, **size_options(name, inputs))
    except OSError as error:
        raise BamctlError(
            f"cannot download the weights of {name}: {first_line(error)}; give a file to --weights"
        ) from error
    except Exception as error:  # whatever a builder raises
        let_through(error)
        raise blame(error, f"cannot build {name} as requested", first_line(error)) from error
    return made


def size_options(name: str, inputs: Inputs | None) -> dict[str, Any]:
    """Return the arguments that build a network for the image size of its inputs."""
    if inputs is None or inputs == default_inputs(name):
        return {}
    config = _config(name)
    return {"img_size": inputs[0].shape[-2:]} if config and config.fixed_input_size else {}


def _config(name: str) -> Any:
    """Return timm's configuration of the default pretrained weights, or None."""
    own = name.removeprefix(PREFIX)
    return _timm(name).models.get_pretrained_cfg(own, allow_unregistered=True)


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"{name} needs timm: pip install 'bamctl[timm]' ({first_line(error)})"
        ) from error
    timm_name = name.removeprefix(PREFIX)
    if not timm.is_model(timm_name):
        known = timm.list_models()
        near = did_you_mean(timm_name, known) or "; `timm.list_models()` has all"
        raise InputError(f"timm has no model {timm_name!r}{near}")
    return timm
