"""Weights in and out of files, and files that are no weights."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from bamctl import Placement, insert
from bamctl.errors import InputError
from bamctl.weights import checkpoints
from tests.networks import Unseen

SHAPE = (3, 32, 32)


def test_a_network_is_rebuilt_from_its_file(tmp_path: Path) -> None:
    placement = Placement(where=["alpha", "delta"], attention={"variant": "official"})
    model = insert(Unseen().to(memory_format=torch.channels_last), placement, input_shape=SHAPE)
    path, x = tmp_path / "w.safetensors", torch.randn(2, *SHAPE)
    checkpoints.write(path, model, placement)
    rebuilt = insert(Unseen(), path, input_shape=SHAPE)
    assert torch.allclose(rebuilt.eval()(x), model.eval()(x), atol=1e-6)
    assert list(rebuilt.inserted) == ["alpha", "delta"]
    assert checkpoints.read(path).placement == placement


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_files_of_torch_save_are_read(tmp_path: Path, wrap: str | None) -> None:
    path, state = tmp_path / "w.pth", Unseen().state_dict()
    torch.save({wrap: state, "epoch": 3} if wrap else state, path)
    found = checkpoints.read(path)
    assert found.placement is None
    assert all(torch.equal(found.state[key], tensor) for key, tensor in state.items())


class Exploit:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch exploited",)


def test_a_pickle_that_would_run_code_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open("evil.pth", "wb") as file:
        pickle.dump({"w": Exploit()}, file)
    torch.save({"w": Exploit()}, "evil.pt")
    for name in ("evil.pth", "evil.pt"):
        with pytest.raises(InputError, match=f"{name}: not"):
            checkpoints.read(Path(name))
    assert not Path("exploited").exists()


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    save_file({"w": torch.zeros(1000)}, good)
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:500])
    (tmp_path / "text.safetensors").write_text("weights")
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({}, tmp_path / "nothing.pth")
    save_file({"w": torch.zeros(2)}, tmp_path / "p.safetensors", {"bamctl_placement": "{"})
    names = "cut.safetensors text.safetensors text.pth empty.pth list.pth nothing.pth p.safetensors"
    for name in [*names.split(), "missing.pth", "missing.safetensors"]:
        with pytest.raises(InputError) as error:
            checkpoints.read(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="contains no placement"):
        insert(Unseen(), good, input_shape=SHAPE)


def test_what_does_not_fit_is_named() -> None:
    model = Unseen()
    state = model.state_dict()
    state["head.weight"] = torch.zeros(7, 32)
    state["tail.weight"] = torch.zeros(1)
    del state["entry.bias"]
    with pytest.raises(InputError) as error:
        checkpoints.load_state(model, state)
    for part in (
        "1 missing: entry.bias",
        "1 unknown: tail.weight",
        "1 of another shape: head.weight (7x32, not 5x32)",
    ):
        assert part in str(error.value)


def test_only_attention_may_be_missing_from_a_partial_file() -> None:
    model, state = insert(Unseen(), input_shape=SHAPE), Unseen().state_dict()
    checkpoints.load_state(model, state, partial=True)
    assert torch.equal(model.entry.weight, state["entry.weight"])
    with pytest.raises(InputError, match=r"missing: inserted\.alpha"):
        checkpoints.load_state(model, state)
    del state["entry.weight"]
    with pytest.raises(InputError, match=r"missing: entry\.weight"):
        checkpoints.load_state(model, state, partial=True)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(3).to_sparse(),
        torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
        torch.zeros(3, device="meta"),
    ],
    ids=["sparse", "quantized", "meta"],
)
def test_tensors_that_are_no_weights_are_refused(tensor: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"entry.weight": tensor}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"entry\.weight is not a dense tensor"):
        checkpoints.read(tmp_path / "a.pth")


class Typed(nn.Module):
    """A parameter, a counter, a small integer and a mask."""

    def __init__(self, weight: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=weight))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("small", torch.zeros(2, dtype=torch.int8))
        self.register_buffer("mask", torch.zeros(2, dtype=torch.bool))


LOSSES = {
    "imaginary": ("weight", torch.tensor([1 + 2j, 3]), "complex64 as float32"),
    "imaginary, of 128 bits": ("weight", torch.tensor([1j, 0]).to(torch.complex128), "complex128"),
    "too large": ("weight", torch.tensor([1e300, 0], dtype=torch.float64), "float64 as float32"),
    "fraction": ("count", torch.tensor(1.5), "float32 as int64"),
    "overflow": ("small", torch.tensor([128, 0]), "int64 as int8"),
    "sign": ("small", torch.tensor([255, 0], dtype=torch.uint8), "uint8 as int8"),
    "a sign of 64 bits": ("count", torch.tensor(2**63 + 5, dtype=torch.uint64), "uint64 as int64"),
    "more than a bit": ("mask", torch.tensor([2, 0], dtype=torch.uint8), "uint8 as bool"),
    "many digits": ("weight", torch.tensor([2**24 + 1, 0]), "int64 as float32"),
}


# The format has no complex numbers of 128 bits.
LOSSY_FILES = [
    (case, ending)
    for case, (_, tensor, _) in LOSSES.items()
    for ending in ("pth", "safetensors")
    if ending == "pth" or tensor.dtype != torch.complex128
]


@pytest.mark.parametrize(("case", "ending"), LOSSY_FILES)
def test_weights_that_would_lose_values_are_refused(case: str, ending: str, tmp_path: Path) -> None:
    name, tensor, words = LOSSES[case]
    path = tmp_path / f"w.{ending}"
    state = {**Typed().state_dict(), name: tensor}
    (torch.save if ending == "pth" else save_file)(state, path)
    with pytest.raises(InputError, match=rf"1 that would lose values: {name} \({words}"):
        checkpoints.load_state(Typed(), checkpoints.read(path).state)


def test_weights_of_another_type_that_lose_nothing_are_taken() -> None:
    model = Typed()
    state = {
        "weight": torch.tensor([0.1, torch.inf], dtype=torch.float64),
        "count": torch.tensor(7, dtype=torch.uint16),
        "small": torch.tensor([-128, 127]),
        "mask": torch.tensor([1, 0], dtype=torch.uint8),
    }
    checkpoints.load_state(model, state)
    assert model.weight.tolist() == [pytest.approx(0.1), float("inf")]
    assert model.count == 7
    assert model.small.tolist() == [-128, 127]
    assert model.mask.tolist() == [True, False]
    eighths = torch.tensor([1.5, -0.25]).to(torch.float8_e4m3fn)
    checkpoints.load_state(model, {**state, "weight": eighths, "count": torch.tensor(7.0)})
    assert model.weight.tolist() == [1.5, -0.25]


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_complex_weights_are_kept_in_a_complex_network(ending: str, tmp_path: Path) -> None:
    model, path = Typed(torch.complex64), tmp_path / f"w.{ending}"
    with torch.no_grad():
        model.weight.copy_(torch.tensor([1 + 2j, 3j]))
    if ending == "pth":
        checkpoints.write_state(path, model)
    else:
        checkpoints.write(path, model, None)
        assert checkpoints.file_size(model.state_dict()) == path.stat().st_size
    again = Typed(torch.complex64)
    checkpoints.load_state(again, checkpoints.read(path).state)
    assert again.weight.tolist() == [1 + 2j, 3j]


def test_the_same_network_has_the_same_bytes(tmp_path: Path) -> None:
    placement = Placement(where="alpha")
    model = insert(Unseen(), placement, input_shape=SHAPE)
    found: dict[str, set[bytes]] = {".safetensors": set(), ".pth": set()}
    # The order of two entries of metadata was drawn anew for each file.
    for number in range(12):
        paths = {ending: tmp_path / f"{number}{ending}" for ending in found}
        checkpoints.write(paths[".safetensors"], model, placement)
        checkpoints.write_state(paths[".pth"], model)
        for ending, path in paths.items():
            found[ending].add(path.read_bytes())
    assert {ending: len(each) for ending, each in found.items()} == {".safetensors": 1, ".pth": 1}
    with safe_open(paths[".safetensors"], framework="pt") as file:
        assert file.metadata() == {"format": "pt", "bamctl_placement": placement.to_json()}
        assert torch.equal(file.get_tensor("entry.weight"), model.entry.weight)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_pipe_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: cannot be read: it is not a regular file"):
        checkpoints.read(tmp_path / name)


def test_a_file_that_asks_for_more_memory_than_there_is(tmp_path: Path) -> None:
    # A header of the format without its tensor: 2**60 bytes of float32 are announced.
    header = b'{"w":{"dtype":"F32","shape":[288230376151711744],"data_offsets":[0,%d]}}' % 2**60
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match="not a checkpoint, or damaged"):
        checkpoints.read(path)
