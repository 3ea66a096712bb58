"""FlyingChairs and Sintel as torchvision reads them, on small files in their formats."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bamctl.data import sets
from bamctl.data.sets import Data
from bamctl.errors import InputError

USUAL = (3, 520, 960)


def flo(path: Path, flow: np.ndarray) -> None:
    """The format of Middlebury: a mark, width, height, and x and y of each pixel."""
    _, height, width = flow.shape
    head = b"PIEH" + np.array([width, height], "<i4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + flow.transpose(1, 2, 0).astype("<f4").tobytes())


def picture(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    across = np.tile(np.arange(size[0], dtype=np.uint8), (size[1], 1))
    Image.fromarray(across).convert("RGB").save(path)


def ramp(width: int, height: int) -> np.ndarray:
    """A flow of x along x and y along y."""
    y, x = np.indices((height, width))
    return np.stack([x, y]).astype(np.float32)


@pytest.fixture
def chairs(tmp_path: Path) -> Path:
    data = tmp_path / "FlyingChairs" / "data"
    for number in range(1, 6):
        for which in (1, 2):
            picture(data / f"0000{number}_img{which}.ppm", (24, 16))
        flo(data / f"0000{number}_flow.flo", ramp(24, 16))
    # 1 is for training, 2 for validation.
    (tmp_path / "FlyingChairs" / "FlyingChairs_train_val.txt").write_text("1\n1\n2\n1\n1\n")
    return tmp_path


def load(name: str, root: Path, **options: object) -> Data:
    return sets.load(name, usual_shape=USUAL, task="optical-flow", root=root, **options)


def test_chairs_with_the_split_of_their_authors(chairs: Path) -> None:
    data = load("FlyingChairs", chairs, input_shape=(3, 8, 16))
    assert (len(data.train), len(data.held_out)) == (4, 1)
    assert load("flyingchairs", chairs).input_shape == (3, 368, 496)
    batch = data.held_out.batch(torch.tensor([0]), None)
    assert batch.inputs.shape == (1, 2, 3, 8, 16)
    # The middle of 24x16: columns 4 to 19, rows 4 to 11.
    assert batch.inputs[0, 0, 0, 0].tolist() == list(range(4, 20))
    assert batch.targets[0, 0, 0].tolist() == list(range(4, 20))
    assert batch.targets[0, 1, :, 0].tolist() == list(range(4, 12))
    assert batch.targets[0, 2].min() == 1


def test_training_pairs_are_cut_and_mirrored_with_their_flow(chairs: Path) -> None:
    train = load("flyingchairs", chairs, input_shape=(3, 8, 16)).train
    signs = set()
    for draw in range(12):
        batch = train.batch(torch.tensor([0]), torch.tensor([draw]))
        grey, flow = batch.inputs[0, 0, 0].float(), batch.targets[0]
        sign = -1 if grey[0, 1] < grey[0, 0] else 1
        # The brightness is the column, and so is the flow; in a mirror it has the other sign.
        assert torch.equal(sign * flow[0], grey)
        signs.add(sign)
    assert signs == {-1, 1}


def test_what_is_beyond_the_image_is_unknown(chairs: Path) -> None:
    odd = ramp(24, 16)
    odd[0, 0, 0] = 1e9
    flo(chairs / "FlyingChairs" / "data" / "00003_flow.flo", odd)
    batch = load("flyingchairs", chairs, input_shape=(3, 32, 32)).held_out.batch(
        torch.tensor([0]), None
    )
    known = batch.targets[0, 2]
    # All of 24x16 but the pixel whose flow is unknown, and nothing of the padding.
    assert known.sum() == 24 * 16 - 1
    assert known[:16, :24].sum() == 24 * 16 - 1


def test_a_corrupt_flow_is_named(chairs: Path) -> None:
    path = chairs / "FlyingChairs" / "data" / "00003_flow.flo"
    path.write_bytes(path.read_bytes()[:100])
    batch = load("flyingchairs", chairs).held_out.batch(torch.tensor([0]), None)
    assert [Path(each).name for each in batch.unreadable] == ["00003_img1.ppm"]
    flo(path, ramp(12, 16))
    batch = load("flyingchairs", chairs).held_out.batch(torch.tensor([0]), None)
    assert "its flow has another size than its images" in batch.unreadable[0]


@pytest.fixture
def sintel(tmp_path: Path) -> Path:
    for scene in ("ambush", "bandage", "cave", "market", "temple"):
        for frame in (1, 2, 3):
            name = f"frame_000{frame}"
            picture(tmp_path / "Sintel" / "training" / "clean" / scene / f"{name}.png", (24, 16))
            if frame < 3:
                flo(tmp_path / "Sintel" / "training" / "flow" / scene / f"{name}.flo", ramp(24, 16))
    return tmp_path


def test_sintel_holds_whole_scenes_out(sintel: Path) -> None:
    data = load("Sintel", sintel)
    assert data.input_shape == (3, 368, 768)
    names = [
        {Path(split.name(index)).parent.name for index in split.indices}
        for split in (data.train, data.held_out)
    ]
    # A fifth of five scenes is the last one; each has two pairs.
    assert names == [{"ambush", "bandage", "cave", "market"}, {"temple"}]
    assert (len(data.train), len(data.held_out)) == (8, 2)


def test_a_missing_flow_is_named(sintel: Path) -> None:
    (sintel / "Sintel" / "training" / "flow" / "cave" / "frame_0001.flo").unlink()
    with pytest.raises(InputError, match="incomplete: no flow or no images for cave/frame_0001"):
        load("sintel", sintel)


@pytest.mark.parametrize("name", ["FlyingChairs", "Sintel"])
def test_a_set_that_is_not_there_names_its_page(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=rf"{name} is missing .*download it from http.*--data-root"
    ):
        load(name, tmp_path)
