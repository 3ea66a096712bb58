"""Class folders of clips: folders of frames, and videos if PyAV is installed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from bamctl.data import sets
from bamctl.data.sets import Data
from bamctl.errors import InputError

USUAL = (3, 4, 16, 16)


def frames(folder: Path, count: int, size: tuple[int, int] = (16, 16)) -> None:
    """Frame number t has the brightness 10 t."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", size, (10 * number,) * 3).save(folder / f"{number:03}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("jump", "run"):
        for clip in range(3):
            frames(tmp_path / "train" / name / f"clip{clip}", 16)
        frames(tmp_path / "val" / name / "clip", 16)
    return tmp_path


def load(root: Path, **options: object) -> Data:
    return sets.load(f"clips:{root}", usual_shape=USUAL, task="video", **options)


def test_frames_in_the_middle_of_equal_parts(root: Path) -> None:
    data = load(root)
    assert data.classes == ("jump", "run")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.input_shape == USUAL
    batch = data.held_out.batch(torch.tensor([0, 1]), None)
    assert (batch.inputs.shape, batch.inputs.dtype) == ((2, 3, 4, 16, 16), torch.uint8)
    assert batch.targets.tolist() == [0, 1]
    # 16 frames in 4 parts: 0 to 3, 4 to 7, 8 to 11, 12 to 15.
    assert batch.inputs[0, 0, :, 0, 0].tolist() == [20, 60, 100, 140]


def test_augmentation_draws_one_frame_of_each_part(root: Path) -> None:
    train = load(root).train
    found = set()
    for draw in range(20):
        clip = train.batch(torch.tensor([0]), torch.tensor([draw])).inputs[0, 0]
        times = (clip[:, 0, 0] // 10).tolist()
        assert [time // 4 for time in times] == [0, 1, 2, 3]
        assert torch.equal(clip, clip[:, :1, :1].expand_as(clip))
        found.add(tuple(times))
    assert len(found) > 10


def test_a_short_clip_repeats_frames_and_grey_is_one_channel(root: Path) -> None:
    frames(root / "train" / "jump" / "a", 2)
    clip = load(root, input_shape=(1, 4, 8, 12)).train.batch(torch.tensor([0]), None).inputs[0]
    assert clip.shape == (1, 4, 8, 12)
    assert clip[0, :, 4, 6].tolist() == [0, 0, 10, 10]


def test_frames_are_in_the_order_of_their_numbers(root: Path) -> None:
    folder = root / "train" / "jump" / "a"
    folder.mkdir()
    for number in range(1, 13):
        Image.new("RGB", (16, 16), (10 * number,) * 3).save(folder / f"frame{number}.png")
    clip = load(root).train.batch(torch.tensor([0]), None).inputs[0]
    # 12 frames in 4 parts: 1 to 3, 4 to 6, 7 to 9, 10 to 12.
    assert clip[0, :, 8, 8].tolist() == [20, 50, 80, 110]


def test_all_frames_are_cropped_alike(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    folder = root / "train" / "jump" / "a"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(noise).save(folder / f"{number}.png")
    clip = load(root).train.batch(torch.tensor([0]), torch.tensor([3])).inputs[0]
    assert torch.equal(clip, clip[:, :1].expand_as(clip))
    assert clip[:, 0].float().std() > 10


def test_a_clip_without_frames_is_refused_or_skipped(root: Path) -> None:
    (root / "train" / "jump" / "b").mkdir()
    (root / "train" / "run" / "b").mkdir()
    (root / "train" / "run" / "b" / "0.png").write_text("no image")
    with pytest.raises(InputError, match=r"cannot read the clip \S*jump/b;.*--bad-images skip"):
        load(root)
    data = load(root, bad_images="skip")
    assert len(data.train) == 6
    assert [Path(each).parent.name for each in data.skipped] == ["jump", "run"]


def test_a_clip_that_is_cut_off_or_changes_its_size_is_named_when_it_is_read(root: Path) -> None:
    place = root / "train" / "jump"
    Image.new("RGB", (8, 8)).save(place / "clip0" / "006.png")
    (place / "clip1" / "006.png").write_bytes(b"no image")
    batch = load(root).train.batch(torch.arange(3), None)
    assert batch.targets.tolist() == [0]
    assert batch.unreadable == (
        f"{place / 'clip0'} (its frames differ in size)",
        str(place / "clip1"),
    )


def test_another_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pass an existing one as --data clips:PATH"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="put the clips into one folder per class"):
        load(tmp_path)


def test_videos_without_pyav_name_the_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (root / "train" / "jump" / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"pip install 'bamctl\[video\]'") as refused:
        load(root)
    assert "\n" not in str(refused.value)


def video(path: Path, count: int) -> None:
    """A video whose frame number t has the brightness 10 t, by PyAV; lossless."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for number in range(count):
            grey = np.full((16, 32, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())


def test_videos(root: Path) -> None:
    video(root / "train" / "jump" / "a.mkv", 8)
    train = load(root).train
    clip = train.batch(torch.tensor([0]), None).inputs[0]
    assert clip.shape == (3, 4, 16, 16)
    # 8 frames in 4 parts; conversion to YUV and back rounds.
    expected = torch.tensor([10.0, 30.0, 50.0, 70.0])
    assert (clip[:, :, 8, 8].float() - expected).abs().max() <= 3


def test_a_corrupt_video_is_refused_or_skipped(root: Path) -> None:
    pytest.importorskip("av")
    (root / "train" / "jump" / "a.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(InputError, match=r"jump/a\.mp4.*--bad-images skip"):
        load(root)
    assert len(load(root, bad_images="skip").train) == 6


class Container:
    """What PyAV opens, for tests without it: frames that are images, in order."""

    def __init__(self, path: Path) -> None:
        self.count = int(Path(path).read_text())

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_: object) -> None: ...

    def seek(self, offset: int) -> None:
        assert offset == 0

    def decode(self, video: int) -> object:
        assert video == 0
        for number in range(self.count):
            image = Image.new("RGB", (16, 16), (10 * number,) * 3)
            yield SimpleNamespace(to_image=lambda image=image: image)


def test_which_frames_of_a_video_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", SimpleNamespace(open=Container))
    (root / "train" / "jump" / "a.mp4").write_text("8")
    (root / "train" / "jump" / "b.mp4").write_text("0")
    (root / "train" / "run" / "b.mp4").write_text("no number")
    data = load(root, bad_images="skip")
    assert [Path(each).name for each in data.skipped] == ["b.mp4", "b.mp4"]
    clip = data.train.batch(torch.tensor([0]), None).inputs[0]
    assert clip[0, :, 0, 0].tolist() == [10, 30, 50, 70]
