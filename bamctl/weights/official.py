"""Conversion of checkpoints from and to the format of the authors' released code.

That code registers its modules as `bam1`, `bam2`, ... in addition to torchvision's names, and wraps
the network in `DataParallel`, which prefixes every name with `module.`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from bamctl.attention.bam import BAM
from bamctl.errors import InputError
from bamctl.files.atomic import atomic_path
from bamctl.networks.inserted import HOLDER
from bamctl.weights.checkpoints import COUNTER, save

_PREFIX = "module."
_KEY = re.compile(rf"(?:{re.escape(_PREFIX)})?bam(\d+)\.(.+)")

# The released code's names of the layers, and ours; `{}` is the index of a dilated convolution.
_LAYERS = (
    ("channel_att.gate_c.gate_c_fc_0", "channel.reduce"),
    ("channel_att.gate_c.gate_c_bn_1", "channel.norm"),
    ("channel_att.gate_c.gate_c_fc_final", "channel.expand"),
    ("spatial_att.gate_s.gate_s_conv_reduce0", "spatial.reduce"),
    ("spatial_att.gate_s.gate_s_bn_reduce0", "spatial.reduce_norm"),
    ("spatial_att.gate_s.gate_s_conv_di_{}", "spatial.dilated_{}"),
    ("spatial_att.gate_s.gate_s_bn_di_{}", "spatial.dilated_{}_norm"),
    ("spatial_att.gate_s.gate_s_conv_final", "spatial.collapse"),
)


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict has the released code's names of attention modules."""
    return any(_KEY.fullmatch(name) for name in state)


def read(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of a released checkpoint to the names of a network of ours.

    Args:
        state: as the released code saves it, with or without the prefix `module.`.
        model: the network, with `official` modules inserted; the first of them is `bam1`.

    Raises:
        InputError: the modules are not those of the released code, or keys and tensors of the
            network do not match one to one; lists all mismatches.
    """
    names, own = _names(model), model.state_dict()
    found: dict[str, Tensor] = {}
    unused = []
    for key, tensor in state.items():
        plain = key.removeprefix(_PREFIX)
        name = names.get(plain, plain)
        if name not in own or name in found:
            unused.append(key)
        else:
            found[name] = tensor
    missing = [name for name in own if name not in found and not name.endswith(COUNTER)]
    if unused or missing:
        count = len(_holder(model))
        raise InputError(
            f"the released code's checkpoint does not fit a network with {count} modules inserted; "
            f"unexpected keys: {', '.join(unused) or 'none'}; missing keys: "
            f"{', '.join(missing) or 'none'}"
        )
    return found


def write(path: Path, model: nn.Module) -> None:
    """Write the network's weights in the format of the released code.

    Raises:
        InputError: the modules are not those of the released code, or the file cannot be written.
    """
    theirs = {own: official for official, own in _names(model).items()}
    state = {
        f"{_PREFIX}{theirs.get(name, name)}": tensor.detach().cpu()
        for name, tensor in model.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save({"state_dict": state}, temporary)


def _names(model: nn.Module) -> dict[str, str]:
    """Map the released code's names of the attention modules' tensors to ours."""
    return dict(
        pair
        for number, (key, module) in enumerate(_holder(model).named_children(), 1)
        for pair in _names_in(number, key, module)
    )


def _names_in(number: int, key: str, module: nn.Module) -> Iterator[tuple[str, str]]:
    own = set(module.state_dict())
    for official, layer in _numbered(own):
        for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            if f"{layer}.{kind}" in own:
                own.remove(f"{layer}.{kind}")
                yield f"bam{number}.{official}.{kind}", f"{HOLDER}.{key}.{layer}.{kind}"
    is_theirs = isinstance(module, BAM) and module.combine == "product"
    if own or not is_theirs or module.channel is None or module.spatial is None:
        raise InputError(
            f"the module {key!r} is not one of the released code: use --variant official with "
            "both branches, combine product and init kaiming"
        )


def _numbered(own: set[str]) -> Iterator[tuple[str, str]]:
    for official, layer in _LAYERS:
        count = 0
        while "{}" in layer and f"{layer.format(count)}.weight" in own:
            yield official.format(count), layer.format(count)
            count += 1
        if "{}" not in layer:
            yield official, layer


def _holder(model: nn.Module) -> nn.ModuleDict:
    holder = getattr(model, HOLDER, None)
    if not isinstance(holder, nn.ModuleDict):
        raise InputError("nothing is inserted, and the released code has modules; use --where")
    return holder
