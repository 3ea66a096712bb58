"""Files that run without bamctl, on five families with both inits and both variants."""

import ast
import itertools
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bamctl import Placement
from bamctl.errors import BamctlError, InputError
from bamctl.export import write as export
from bamctl.export._program import OLDEST_TORCH, is_too_old
from bamctl.export._source import source
from bamctl.export.write import Exported, Exporter
from bamctl.networks import models
from bamctl.surgery.insertion import Insertion, insert_and_prove
from tests import console
from tests.networks import Unseen

FAMILIES = ("resnet18", "densenet121", "mobilenet_v3_small", "convnext_tiny", "swin_t")


@pytest.fixture(autouse=True)
def _proofs_run_in_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that runs an exported file has imported torch, and nothing of bamctl."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        _, program, file, folder, _ = command
        return console.run([file, folder, console.PARENT], cwd=Path.cwd(), program=Path(program))

    monkeypatch.setattr(export, "subprocess", SimpleNamespace(run=run))


def inserted(name: str, **options: object) -> tuple[nn.Module, Insertion]:
    shape = options.pop("input", "3x64x64")
    placement = Placement(model=name, input=shape, **options)
    torch.manual_seed(0)
    model = models.build(
        name,
        inputs=shape,
        num_classes=placement.num_classes,
        stem=placement.stem,
        args=placement.args,
    )
    insertion = insert_and_prove(name, model, placement, shape)
    # So that a gate that starts at nothing is seen, too.
    for parameter in model.inserted.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model, insertion


# Each network with each init and each variant, and each init with each variant.
CASES = [
    (name, init, variant)
    for name, init, variant in itertools.product(
        FAMILIES, ("kaiming", "identity"), ("paper", "official")
    )
    if (FAMILIES.index(name) % 2 == 0) == ((init == "kaiming") == (variant == "paper"))
]
# ONNX once for each network; each init is with each variant.
ONNX = [CASES[2 * number + number // 2 % 2] for number in range(len(FAMILIES))]
LIMITS = {".py": 0.0, ".pt2": 1e-5, ".onnx": 1e-5}
needs_newer = pytest.mark.skipif(is_too_old(), reason=f"needs torch {OLDEST_TORCH}")
ENDINGS = [
    pytest.param(".py"),
    pytest.param(".pt2", marks=needs_newer),
    pytest.param(".onnx", marks=needs_newer),
]
FILES = [
    pytest.param(case, *each.values, marks=each.marks, id="-".join([*case, *each.values]))
    for case in CASES
    for each in ENDINGS
    if each.values != (".onnx",) or case in ONNX
]


Case = tuple[str, str, str]


@lru_cache(maxsize=1)
def inserted_once(case: Case) -> tuple[nn.Module, Insertion]:
    """The network of a case, for all the files that are made of it."""
    name, init, variant = case
    return inserted(name, attention={"init": init, "variant": variant}, num_classes=10)


# Both formats of a graph are made of the same one.
exported_once = lru_cache(maxsize=1)(export.export)


def test_several_files_are_made_of_one_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def counted(model: nn.Module, inputs: object) -> object:
        made.append(real(model, inputs))
        return made[-1]

    real = export.export
    monkeypatch.setattr(export, "export", counted)
    exporter = Exporter(*inserted("squeezenet1_1", where="features.4", num_classes=3))
    for name in ("one.pt2", "two.pt2"):
        assert export.WRITERS[".pt2"](tmp_path / name, exporter)
        assert torch.export.load(tmp_path / name).graph_signature == made[0].graph_signature
    assert len(made) == 1


@pytest.mark.parametrize(("case", "ending"), FILES)
def test_every_kind_of_file(
    case: Case, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "export", exported_once)
    path = tmp_path / f"network{ending}"
    done = export.write(path, *inserted_once(case))
    assert path.stat().st_size > 0
    assert done.any_batch
    assert done.output_change <= LIMITS[ending]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_interpreter_of_its_own_runs_the_file(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    done = export.write(tmp_path / f"network{ending}", *inserted("resnet18"))
    assert done.output_change <= LIMITS[ending]


def written(tmp_path: Path, name: str, **options: object) -> tuple[Exported, str]:
    model, insertion = inserted(name, **options)
    path = tmp_path / "network.py"
    return export.write(path, model, insertion), path.read_text()


SOURCES = {
    "another module": ("resnet18", {"attention": {"module": "extra-block", "init": "identity"}}),
    "one site of its own": (
        "resnet18",
        {"where": ["layer1", "layer3"], "insertions": {"layer3": {"branches": "spatial"}}},
    ),
    "a small stem": ("resnet18", {"stem": "small", "input": "3x32x32", "num_classes": 7}),
    "a densenet's small stem": ("densenet121", {"stem": "small", "input": "3x32x32"}),
    "keyword arguments": ("mobilenet_v2", {"args": {"width_mult": 0.5}}),
    "tokens": ("vit_b_32", {"where": "encoder.layers.encoder_layer_1"}),
    "video": ("r3d_18", {"input": "3x4x32x32"}),
    "part of a result": ("tests.causes:ReturnsTwo", {"input": "3x32x32"}),
    "segmentation": ("fcn_resnet50", {"num_classes": 3}),
    "detection": ("fasterrcnn_mobilenet_v3_large_fpn", {}),
    "two images": ("raft_small", {"input": "3x128x128"}),
    "timm": ("timm:resnet18", {"args": {"in_chans": 1}, "input": "1x64x64"}),
    "one's own": ("tests.networks:Unseen", {"input": "3x32x32"}),
}


@pytest.mark.parametrize("case", SOURCES)
def test_a_python_module_is_the_network_to_the_bit(case: str, tmp_path: Path) -> None:
    name, options = SOURCES[case]
    done, text = written(tmp_path, name, **options)
    assert done.output_change == 0
    packages = imports_of(text) - sys.stdlib_module_names
    own = name.partition(":")[0].partition(".")[0] if ":" in name else "torchvision"
    assert packages == {"torch", own}


def imports_of(text: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(text)))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    parts = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in whole | parts}


def test_a_python_module_holds_what_it_needs_and_no_more(tmp_path: Path) -> None:
    _, text = written(tmp_path, "resnet18", where="layer1")
    names = {node.name for node in ast.parse(text).body if hasattr(node, "name")}
    assert {"BAM", "AttentionHook", "insert", "build"} <= names
    assert not {"Nhwc", "Tokens", "ExtraBlock", "detached"} & names
    assert 'insert(model, "layer1", "layer1", BAM(64' in text
    # Every import is used.
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                assert (alias.asname or alias.name).partition(".")[0] in used, alias.name


def test_where_a_proof_tells_little_it_says_so(tmp_path: Path) -> None:
    """A Vision Transformer's head starts at zero, and a graph has no maps to look at."""
    model, insertion = inserted("vit_b_32", where="encoder.layers.encoder_layer_1")
    assert export.write(tmp_path / "x.pt2", model, insertion).output_change is None


def test_a_network_that_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    model, insertion = inserted("fasterrcnn_mobilenet_v3_large_fpn")
    with pytest.raises(BamctlError, match=r"torch.export cannot take FasterRCNN.*--out x.py"):
        export.write(tmp_path / "x.pt2", model, insertion)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_gives_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, insertion = inserted("resnet18")
    real = export.source

    def wrong(*arguments: object) -> str:
        return real(*arguments).replace("torch.addcmul(x, x, gate", "torch.mul(x, gate")

    monkeypatch.setattr(export, "source", wrong)
    with pytest.raises(BamctlError, match=r"outputs of the .py file differ by"):
        export.write(tmp_path / "x.py", model, insertion)
    monkeypatch.setattr(export, "source", lambda *_: "import bamctl\n")
    with pytest.raises(BamctlError, match=r"does not run in a fresh process: .*bamctl"):
        export.write(tmp_path / "x.py", model, insertion)
    assert list(tmp_path.iterdir()) == []


def test_the_network_keeps_its_mode(tmp_path: Path) -> None:
    model, insertion = inserted("tests.networks:Unseen", input="3x32x32")
    assert isinstance(model, Unseen)
    export.write(tmp_path / "x.py", model.train(), insertion)
    assert all(module.training for module in model.modules())


def test_a_keyword_of_a_factory_is_no_code() -> None:
    placement = Placement(model="nets:make", args={"depth": 1, "x=print('run'), y": 2})
    with pytest.raises(InputError, match="not a valid Python argument name"):
        source(nn.Identity(), placement, ())


def test_onnx_with_a_torch_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, insertion = inserted("tests.networks:Unseen", input="3x32x32")
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(InputError, match=r"^ONNX needs torch 2.7 or newer, and this is 2.6.0"):
        export.write(tmp_path / "x.onnx", model, insertion)
    assert list(tmp_path.iterdir()) == []
