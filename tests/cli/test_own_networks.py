"""Networks of one's own, and torchvision's other families, through the real console script."""

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import assert_one_line_error

CODE = '''
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, channels, stride=1, act=None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.act = act or nn.ReLU()

    def forward(self, x):
        return self.act(self.conv2(self.act(self.conv1(x))))

class Captioned(nn.Module):
    """An image and the words under it; one activation for all blocks, and answers on the way."""

    def __init__(self, width=8, num_classes=3):
        super().__init__()
        shared = nn.ReLU()
        self.entry = nn.Conv2d(3, width, 3, 2, 1)
        self.first = Block(width, act=shared)
        self.second = Block(width, 2, act=shared)
        self.third = Block(width, 2, act=shared)
        self.words = nn.Embedding(50, width)
        self.early = nn.Linear(width, num_classes)
        self.head = nn.Linear(width, num_classes)

    def forward(self, image, words, scale):
        x = self.first(self.entry(image))
        early = self.early(x.mean((2, 3)))
        x = self.third(self.second(x))
        caption = self.words(words).mean(1) * scale
        answer = self.head(x.mean((2, 3)) + caption)
        return {"answer": answer, "early": [early], "classes": 3, "note": "text", "none": None}

class Narrow(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(9, 8, 3))

    def forward(self, x):
        return self.body(x)

class Asks(nn.Module):
    """Runs, and asks for a number in a way that a trace cannot follow."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        if torch.jit.is_tracing():
            return torch.linalg.inv(y)
        return y
'''
INPUTS = ["--input", "3x64x64", "--input", "7:int64", "--input", "8"]


@pytest.fixture(autouse=True)
def _own(tmp_path: Path) -> None:
    package = tmp_path / "shop" / "vision"
    package.mkdir(parents=True)
    (package / "nets.py").write_text(CODE)


def test_side_outputs_shared_modules_and_words(bamctl: object) -> None:
    options = [*INPUTS, "--format", "json"]
    result = bamctl("analyze", "shop.vision.nets:Captioned", *options)
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["input_shape"] == [1, 3, 64, 64]
    assert found["placements"]["bottleneck"]["modules"] == ["first", "second"]
    assert found["placements"]["block"]["modules"] == ["first", "second", "third"]
    # By hand: the entry, six 3x3 convolutions, fifty words, two heads of three classes.
    convs = 8 * (3 * 9 + 1) + 6 * (9 * 8**2 + 8)
    assert found["params"] == convs + 50 * 8 + 2 * 3 * (8 + 1)


def test_a_placement_says_how_to_build_it(bamctl: object, tmp_path: Path) -> None:
    inputs = [*INPUTS[:-1], "16"]
    options = ["--arg", "width=16", *inputs, "--out", "p.yaml", "--out", "w.safetensors"]
    options += ["--out", "net.py", "--init", "identity"]
    first = bamctl("insert", "shop.vision.nets:Captioned", *options)
    assert (first.returncode, first.stderr) == (0, "")
    assert "answer 1x3, early.0 1x3; the outputs are unchanged, bit for bit" in oneline(first)
    assert "net.py: run without bamctl in a fresh process, it gives the same" in oneline(first)
    text = (tmp_path / "p.yaml").read_text()
    assert "args:\n  width: 16\n" in text
    assert "input:\n- 3x64x64\n- 7:int64\n- '16'\n" in text
    again = bamctl("insert", "--placement", "p.yaml", "--format", "json")
    assert json.loads(again.stdout)["modules"] == ["first", "second"]
    assert bamctl("insert", "--weights", "w.safetensors").returncode == 0
    (tmp_path / "p.yaml").write_text(f"{text}budget:\n  params: +90 %\n")
    assert bamctl("check", "p.yaml").returncode == 0


def oneline(result: object) -> str:
    return " ".join(result.stdout.split())


def test_what_stopped_it_is_named(bamctl: object) -> None:
    result = bamctl("analyze", "shop.vision.nets:Narrow", "--input", "3x16x16")
    words = ["Narrow cannot run on a 3x16x16 input", "in body.1", "at conv2d", "another --input"]
    assert_one_line_error(result, *words)
    result = bamctl("analyze", "shop.vision.nets:Asks", "--input", "3x16x16")
    assert_one_line_error(result, "Asks runs, but cannot be traced", "at inv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arg", "width"], ["'width' is not KEY=VALUE", "like --arg"]),
        (["--arg", "2=3"], ["'2=3' is not KEY=VALUE"]),
        (["--arg", "height=3"], ["Captioned(height=3) failed: TypeError"]),
        (["--arg", "width={a: !!python/name:os.system }"], ["not allowed"]),
        (["--input", "3x64x64", "--input", "7:int63"], ["'7:int63'", "int64"]),
        (["--input", "3x64x64", "--input", "7:int64"], ["cannot run on a 3x64x64, 7:int64 input"]),
        (["--stem", "small"], ["--stem small is only for torchvision's models"]),
    ],
)
def test_bad_options_are_one_line(options: list[str], words: list[str], bamctl: object) -> None:
    assert_one_line_error(bamctl("analyze", "shop.vision.nets:Captioned", *options), *words)


def test_other_families_of_torchvision(bamctl: object) -> None:
    result = bamctl("analyze", "fasterrcnn_resnet50_fpn", "--input", "3x128x128")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["2", "32", "256", "4", "3", "backbone.body.layer1", "bottleneck"] in [
        row[:7] for row in rows
    ]
    assert "data-dependent" in oneline(result)
    video = bamctl("insert", "r3d_18", "--input", "3x8x32x32", "--format", "json")
    found = json.loads(video.stdout)
    assert found["modules"] == ["layer1", "layer2", "layer3"]
    assert found["sites"][0]["layout"] == "ncdhw"
    assert found["sites"][0]["num_frames"] == 8
    # By hand, at 64 channels and h = 4: the channel branch, the 3-D spatial branch, two norms.
    channel = 2 * 64 * 4 + 4 + 64 + 2 * 64
    spatial = 64 * 4 + 4 + 2 * (27 * 4 * 4 + 4) + 4 + 1 + 2
    assert found["sites"][0]["added_params"] == channel + spatial


@pytest.mark.parametrize("out", [["x.py"], ["x.pt2"], ["x.pth", "--layout", "official"]])
def test_nothing_inserted_is_nothing_to_write(out: list[str], bamctl: object) -> None:
    # VGG has no blocks.
    options = ["--where", "block", "--input", "3x64x64", "--num-classes", "3"]
    assert_one_line_error(bamctl("insert", "vgg11", *options, "--out", *out), "nothing is inserted")


def test_an_image_is_no_video(bamctl: object) -> None:
    result = bamctl("analyze", "r3d_18", "--input", "3x112x112")
    assert_one_line_error(result, "channels x frames x height x width", "3x16x112x112")


def test_models_by_family(bamctl: object) -> None:
    found = json.loads(bamctl("models", "--family", "detection", "--format", "json").stdout)
    assert len(found["models"]) == 12
    assert {entry["family"] for entry in found["models"]} == {"detection"}
    wrong = bamctl("models", "resnet*", "--family", "video")
    assert_one_line_error(wrong, "no model of family video matches 'resnet*'")


def test_several_files_at_once(bamctl: object, tmp_path: Path) -> None:
    outs = [f"--out=net{ending}" for ending in (".pth", ".pt2", ".py")]
    options = ["--input", "3x64x64", "--num-classes", "5", "--format", "json", *outs]
    result = bamctl("insert", "resnet18", *options)
    assert (result.returncode, result.stderr) == (0, "")
    files = json.loads(result.stdout)["files"]
    assert [(file["path"], file["any_batch"]) for file in files] == [
        ("net.pt2", True),
        ("net.py", True),
    ]
    image = torch.randn(2, 3, 64, 64)
    namespace: dict[str, object] = {"__name__": "net"}
    exec((tmp_path / "net.py").read_text(), namespace)
    model = namespace["build"](tmp_path / "net.pth").eval()
    program = torch.export.load(tmp_path / "net.pt2").module()
    with torch.no_grad():
        assert torch.allclose(model(image), program(image), atol=1e-5)


PATHS = """
from torch import nn

class Mixed(nn.Module):
    '''Two ways from the image to the answer, which no map is on alone.'''

    def __init__(self, wide=4):
        super().__init__()
        self.one, self.two = (nn.Conv2d(3, wide, 3, 2, 1) for _ in range(2))
        self.head = nn.Linear(2 * wide, 5)

    def forward(self, x):
        import torch
        return self.head(torch.cat([self.one(x).mean((2, 3)), self.two(x).mean((2, 3))], 1))

class Vectors(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
"""


def test_a_network_without_cut_points_is_told_so(bamctl: object, tmp_path: Path) -> None:
    (tmp_path / "paths.py").write_text(PATHS)
    text = " ".join(bamctl("analyze", "paths:Mixed", "--input", "3x16x16").stdout.split())
    assert "Mixed has no cut points" in text
    assert "select them by name with --where: one, two." in text
    assert "one bar a block" not in text
    assert "strategy" not in text
    # Two convolutions of 3x3x3 to 4 channels of 8x8, and the head.
    assert f"{2 * 4 * 27 * 64 + 40:,} MACs" in text
    done = bamctl("insert", "paths:Mixed", "--input", "3x16x16", "--where", "one")
    assert done.returncode == 0, done.stderr
    text = " ".join(bamctl("analyze", "paths:Vectors", "--input", "6", "--explain").stdout.split())
    assert "Vectors has no cut points: no module returns one feature map" in text


def test_an_argument_that_is_given_twice_is_refused(bamctl: object, tmp_path: Path) -> None:
    (tmp_path / "paths.py").write_text(PATHS)
    given = ["analyze", "paths:Mixed", "--arg", "wide=4", "--arg", "wide=5"]
    assert_one_line_error(bamctl(*given), "--arg wide is given twice")
