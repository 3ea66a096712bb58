"""Checkpoints of the authors' released code, and what such a network computes."""

import copy
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from bamctl import insert
from bamctl.errors import InputError
from bamctl.weights import official
from tests.conftest import assert_one_line_error

CHANNELS = {1: 64, 2: 128, 3: 256}


def released(seed: int = 0) -> dict[str, Tensor]:
    """A state dict with the keys and shapes of the released code, for a ResNet18 at r = 16."""
    torch.manual_seed(seed)
    state = dict(torchvision.models.resnet18(num_classes=10).state_dict())
    for number, c in CHANNELS.items():
        h = c // 16
        channel, spatial = "channel_att.gate_c.gate_c_", "spatial_att.gate_s.gate_s_"
        shapes = {f"{channel}fc_0": (h, c), f"{channel}fc_final": (c, h)}
        shapes |= {f"{spatial}conv_reduce0": (h, c, 1, 1), f"{spatial}conv_final": (1, h, 1, 1)}
        shapes |= {f"{spatial}conv_di_{i}": (h, h, 3, 3) for i in (0, 1)}
        for name, shape in shapes.items():
            state[f"bam{number}.{name}.weight"] = torch.randn(shape) * 0.3
            state[f"bam{number}.{name}.bias"] = torch.randn(shape[0]) * 0.1
        for name in ("gate_c.gate_c_bn_1", "gate_s.gate_s_bn_reduce0"):
            kind = "channel_att" if name.startswith("gate_c") else "spatial_att"
            state |= norm(f"bam{number}.{kind}.{name}", h)
        for i in (0, 1):
            state |= norm(f"bam{number}.{spatial}bn_di_{i}", h)
    return {f"module.{key}": tensor for key, tensor in state.items()}


def norm(name: str, width: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.rand(width) + 0.5,
        f"{name}.bias": torch.randn(width) * 0.1,
        f"{name}.running_mean": torch.randn(width) * 0.1,
        f"{name}.running_var": torch.rand(width) + 0.5,
    }


def plain_functions(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """The released network in eval mode, written out in PyTorch's functions."""
    model = torchvision.models.resnet18(num_classes=10).eval()
    own = {k.removeprefix("module."): t for k, t in state.items()}
    model.load_state_dict({k: t for k, t in own.items() if not k.startswith("bam")})

    def normalized(x: Tensor, name: str) -> Tensor:
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(own[f"{name}.{key}"] for key in keys))

    def bam(x: Tensor, number: int) -> Tensor:
        c, s = (f"bam{number}.{k}_att.gate_{k[0]}.gate_{k[0]}_" for k in ("channel", "spatial"))

        def weights(name: str) -> tuple[Tensor, Tensor]:
            return own[f"{name}.weight"], own[f"{name}.bias"]

        vector = F.linear(F.avg_pool2d(x, x.shape[2:]).flatten(1), *weights(f"{c}fc_0"))
        vector = F.linear(F.relu(normalized(vector, f"{c}bn_1")), *weights(f"{c}fc_final"))
        y = F.relu(normalized(F.conv2d(x, *weights(f"{s}conv_reduce0")), f"{s}bn_reduce0"))
        for i in (0, 1):
            y = F.conv2d(y, *weights(f"{s}conv_di_{i}"), padding=4, dilation=4)
            y = F.relu(normalized(y, f"{s}bn_di_{i}"))
        y = F.conv2d(y, *weights(f"{s}conv_final"))
        return (1 + torch.sigmoid(vector[:, :, None, None] * y)) * x

    with torch.no_grad():
        x = model.maxpool(model.relu(model.bn1(model.conv1(image))))
        for number, layer in enumerate((model.layer1, model.layer2, model.layer3), 1):
            x = bam(layer(x), number)
        return model.fc(model.layer4(x).mean((2, 3)))


def network(**attention: object) -> torch.nn.Module:
    model = torchvision.models.resnet18(num_classes=10)
    placement = {"attention": {"variant": "official", **attention}}
    return insert(model, placement, input_shape=(3, 64, 64)).eval()


def test_a_released_checkpoint_computes_what_it_did() -> None:
    state, model, image = released(), network(), torch.randn(2, 3, 64, 64)
    model.load_state_dict(official.read(state, model), strict=False)
    with torch.no_grad():
        assert torch.allclose(model(image), plain_functions(state, image), atol=1e-5)


def test_there_and_back(tmp_path: Path) -> None:
    state, model = released(), network()
    model.load_state_dict(official.read(state, model), strict=False)
    official.write(tmp_path / "x.pth", model)
    written = torch.load(tmp_path / "x.pth", weights_only=True)["state_dict"]
    counters = {key for key in written if key.endswith("num_batches_tracked")}
    assert written.keys() - counters == state.keys() - counters
    assert all(torch.equal(written[key], state[key]) for key in state)


def broken(change: str) -> dict[str, Tensor]:
    state = released()
    if change == "one module more":
        extra = {k.replace("bam3", "bam4"): t for k, t in state.items() if "bam3" in k}
        return state | extra
    if change == "one module less":
        return {k: t for k, t in state.items() if "bam3" not in k}
    if change == "a key twice":
        return state | {"conv1.weight": state["module.conv1.weight"]}
    return {k: t for k, t in state.items() if k != "module.fc.bias"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("one module more", "unexpected keys: module.bam4.channel_att.gate_c.gate_c_fc_0.weight"),
        ("one module less", "missing keys: inserted.layer3.channel.reduce.weight"),
        ("a key twice", "unexpected keys: conv1.weight; missing keys: none"),
        ("a key missing", "unexpected keys: none; missing keys: fc.bias"),
    ],
)
def test_every_key_is_used_exactly_once(change: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        official.read(broken(change), network())


def test_all_that_did_not_fit_is_listed() -> None:
    state = broken("one module more")
    with pytest.raises(InputError) as error:
        official.read(state, network())
    assert all(key in str(error.value) for key in state if "bam4" in key)


@pytest.mark.parametrize(
    "attention",
    [{"variant": "paper"}, {"init": "identity"}, {"branches": "spatial"}, {"combine": "sum"}],
    ids=str,
)
def test_other_modules_are_not_the_released_ones(
    attention: dict[str, object], tmp_path: Path
) -> None:
    model = network(**attention)
    with pytest.raises(InputError, match="use --variant official"):
        official.read(released(), model)
    with pytest.raises(InputError, match="use --variant official"):
        official.write(tmp_path / "x.pth", model)
    assert not (tmp_path / "x.pth").exists()


def test_from_the_shell(bamctl: object, tmp_path: Path) -> None:
    state = released()
    # As training scripts save it, with more beside the weights.
    torch.save({"epoch": 90, "arch": "resnet", "state_dict": state}, tmp_path / "released.pth")
    options = ["--input", "3x64x64", "--num-classes", "10", "--weights", "released.pth"]
    command = ["insert", "resnet18", "--variant", "official", *options]
    result = bamctl(*command, "--out", "back.pth", "--layout", "official")
    assert (result.returncode, result.stderr) == (0, "")
    written = torch.load(tmp_path / "back.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(written[key], state[key]) for key in state)

    assert bamctl(*command, "--out", "own.pth").returncode == 0
    model, image = copy.deepcopy(network()), torch.randn(1, 3, 64, 64)
    model.load_state_dict(torch.load(tmp_path / "own.pth", weights_only=True))
    with torch.no_grad():
        assert torch.allclose(model(image), plain_functions(state, image), atol=1e-5)

    wrong = bamctl("insert", "resnet18", *options)
    assert_one_line_error(wrong, "use --variant official")
    assert_one_line_error(bamctl(*command, "--layout", "official"), "add --out x.pth")
