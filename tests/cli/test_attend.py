"""`bamctl attend` through the real console script."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY, assert_one_line_error

SMALL = ("--input", "3x64x96", "--num-classes", "10")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def test_from_inserted_weights_to_a_picture(bamctl: object, photo: Path) -> None:
    made = bamctl("insert", "resnet18", *SMALL, "--out", "net.safetensors")
    assert made.returncode == 0
    # The placement stands beside the weights.
    found = bamctl(
        "attend", "resnet18", "p.png", "--weights", "net.safetensors", "--out", "maps.png",
        "--format", "json",
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    sites = json.loads(found.stdout)["sites"]
    assert [site["module"] for site in sites] == ["layer1", "layer2", "layer3"]
    first = sites[0]
    # The output stride of layer1 is 4.
    assert (first["height"], first["width"]) == (16, 24)
    assert np.array(first["spatial_map"]).shape == (16, 24)
    assert len(first["channel_map"]) == 64
    assert 0 < first["gate_min"] <= first["gate_mean"] <= first["gate_max"] < 1
    assert 0 <= first["looks_at_x"] < 60
    assert 0 <= first["looks_at_y"] < 40
    with Image.open(photo.with_name("maps.png")) as picture:
        assert picture.width > 800
        assert picture.format == "PNG"


def test_words_and_a_page(bamctl: object, photo: Path) -> None:
    arguments = ("attend", "resnet18", "p.png", "p.png", *SMALL)
    result = bamctl(*arguments)
    assert result.returncode == 0
    assert "note: without --weights, attention is untrained" in result.stderr
    assert result.stdout.startswith("resnet18   attention maps\n")
    assert result.stdout.count("layer2") == 2
    bamctl(*arguments, "--format", "html", "--output", "page.html")
    assert photo.with_name("page.html").read_text().count("data:image/png;base64,") == 2


def test_maps_by_epoch_of_a_training(bamctl: object, photo: Path) -> None:
    trained = bamctl(
        "train", "tests.networks:Tiny", "--steps", "4", "--eval-every", "2", "--seeds", "1",
        "--batch-size", "8", "--input", "3x32x32", "--snapshots", "--out", "run",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    kept = [f"run/snapshots/bottleneck.seed-0.step-{step:06}.safetensors" for step in (2, 4)]
    found = bamctl(
        "attend", "tests.networks:Tiny", "p.png", "--weights", kept[0], "--weights", kept[1],
        "--format", "csv", env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    # A row for each site of each snapshot, in the order of the training.
    names = [row["image"] for row in rows]
    assert names == sorted(names)
    assert set(names) == {f"p.png, bottleneck.seed-0.step-{step:06}" for step in (2, 4)}
    assert rows[0]["gate_mean"] != rows[len(rows) // 2]["gate_mean"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.png"], "none.png: cannot be read: No such file"),
        (["p.png", "--out", "maps.jpg"], "--out writes one .png"),
        (["p.png", "--weights", ""], "--weights is empty"),
        (["p.png", "--weights", "none.pth"], "none.pth"),
        (["p.png", "--mean", "0.1,0.2"], "--mean '0.1,0.2' is not one number or three"),
        (["p.png", "--std", "0"], "--std '0' is in fractions of white: above 0"),
        (["p.png", "--mean", "128,128,128"], "--mean '128,128,128' is in fractions of white"),
        (["p.png", "--mean", "nan"], "--mean 'nan' is in fractions of white"),
        (["p.png", "--std", "inf"], "--std 'inf' is in fractions of white"),
        (["p.png", "--mean", ""], "--mean is empty"),
        (["p.png", "--where", "layer9"], "layer9"),
    ],
)
def test_bad_input(bamctl: object, photo: Path, arguments: list[str], words: str) -> None:
    result = bamctl("attend", "resnet18", *arguments, *SMALL)
    assert result.returncode == 2
    assert words in result.stderr.splitlines()[-1]


def test_no_image_and_no_site(bamctl: object, photo: Path) -> None:
    assert_one_line_error(bamctl("attend", "resnet18"), "no image", "bamctl attend resnet18")
    photo.with_name("text.png").write_text("words")
    result = bamctl("attend", "resnet18", "text.png", *SMALL)
    assert "cannot read text.png as an image" in result.stderr
    result = bamctl("attend", "vit_b_16", "p.png")
    assert "nothing is inserted in vit_b_16" in result.stderr
    assert result.returncode == 2
