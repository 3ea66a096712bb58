"""Coefficients learnt over devices serve another one, and known figures narrow them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from bamctl.errors import InputError
from bamctl.timing._beliefs import PRIORS
from bamctl.timing._estimate import Device, KernelTable
from bamctl.timing.hardware import Coefficients
from bamctl.timing.known import read_known, with_known
from bamctl.timing.learning import Learning, learn
from bamctl.timing.profiles import Profile, find
from bamctl.timing.sheets import data_sheet
from bamctl.timing.times import kernels

SIDE, BATCH = 64, 256
NETWORKS = ("resnet18", "resnet34", "squeezenet1_1", "mnasnet0_5")
DEVICES = ("rtx3090", "rtx4090", "t4")


@pytest.fixture(scope="module")
def tables() -> dict[str, KernelTable]:
    return {name: kernels(name, "amp_fp16", SIDE) for name in NETWORKS}


def rate(table: KernelTable, device: str, factor: float) -> float:
    """Images a second of a device whose times are a factor of those at the priors' medians."""
    medians = {name: median for name, (median, _, _) in PRIORS.items()}
    found = Coefficients(**{**medians, "common": factor})
    at = Device(data_sheet(device).hardware("amp_fp16"), found, "contiguous")
    return BATCH / float(table.seconds(at, BATCH).sum())


def write(path: Path, rates: dict[tuple[str, str], float]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            "device model input_size batch_size images_per_second memory_format precision".split()
        )
        for (device, model), found in rates.items():
            writer.writerow([device, model, SIDE, BATCH, found, "contiguous", "amp_fp16"])
    return path


FACTORS = dict(zip(DEVICES, (1.0, 1.1, 0.9), strict=True))


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory, tables: dict[str, KernelTable]) -> Learning:
    rates = {(d, m): rate(table, d, FACTORS[d]) for d in DEVICES for m, table in tables.items()}
    return learn(write(tmp_path_factory.mktemp("times") / "times.csv", rates))


def test_a_device_left_out_is_off_by_what_is_its_own(learning: Learning) -> None:
    found = {each.name: each for each in learning.left_out}
    assert list(found) == list(DEVICES)
    # The mean of the other two factors, over its own: 1.0/1.0, 0.95/1.1, 1.05/0.9; what is
    # learnt of a mean is drawn to the prior, which is 1.
    assert found["rtx3090"].mean_error < 0.03
    assert 0.05 < found["rtx4090"].mean_error < 0.15
    assert 0.05 < found["t4"].mean_error < 0.2
    for each in found.values():
        assert each.summary.rank_correlation > 0.7
        assert len(each.known_errors) == len(NETWORKS)
    # One known figure tells the factor that all times of a device share.
    assert found["t4"].mean_known_error < found["t4"].mean_error / 2


def test_intervals_hold_nine_of_ten(learning: Learning) -> None:
    times, ratios = learning.all_hits
    # Eleven of twelve times; of one pair of each device there is no finer part than all.
    assert times == pytest.approx(11 / 12)
    assert ratios == 1
    assert set(learning.time_hits) == set(learning.ratio_hits) == set(DEVICES)


def test_it_is_written_and_read(learning: Learning, tmp_path: Path) -> None:
    learning.save(tmp_path / "learnt")
    for device in DEVICES:
        profile = find(str(tmp_path / "learnt" / f"{device}.yaml"))
        assert profile.known_from == "times"
        assert profile.mean_error < 0.02
        # Times that are alike but for a factor, of ten percent at most, have coefficients alike.
        assert profile.coefficients.matmul == pytest.approx(1.1, rel=0.15)
    text = (tmp_path / "learnt" / "population.yaml").read_text()
    assert "- rtx3090\n- rtx4090\n- t4\n" in text


def test_tables_that_nothing_can_be_learnt_from(
    tmp_path: Path, tables: dict[str, KernelTable]
) -> None:
    one = {("t4", model): 1000.0 for model in NETWORKS[:2]}
    with pytest.raises(InputError, match="has 1 devices; leaving one out needs at least two"):
        learn(write(tmp_path / "one.csv", one))
    other = {(device, "resnet18"): 1000.0 for device in ("t4", "abacus")}
    with pytest.raises(InputError, match="hardware of 'abacus' is unknown"):
        learn(write(tmp_path / "other.csv", other))


def images_per_second(profile: Profile, model: str, batch_size: int) -> float:
    device = Device(profile.hardware, profile.coefficients, profile.memory_format)
    found = kernels(model, profile.precision).seconds(device, batch_size).sum()
    return batch_size / float(found)


def test_a_known_figure_moves_all_estimates() -> None:
    sheet = find("a100")
    slower = images_per_second(sheet, "resnet18", 256) / 1.3
    profile = with_known(sheet, [read_known(f"resnet18@256={slower:.1f}")])
    assert profile.known[0].images_per_second == pytest.approx(slower, rel=1e-3)
    # The figure itself may be off by as much as an estimate, so that it is nearly met.
    assert images_per_second(profile, "resnet18", 256) == pytest.approx(slower, rel=0.06)
    other = images_per_second(sheet, "squeezenet1_1", 256)
    assert 1.05 < other / images_per_second(profile, "squeezenet1_1", 256) < 1.35
    before, after = (np.trace(each.spread.matrix) for each in (sheet, profile))
    assert after < before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resnet50", "is not MODEL@BATCH=IMAGES_PER_SECOND"),
        ("resnet50@256", "is not MODEL@BATCH=IMAGES_PER_SECOND"),
        ("resnet50@0=100", "must be positive"),
        ("resnet50@8=0", "must be positive"),
        ("resnet50@8=1e999", "must be positive"),
        ("resnt50@8=100", "did you mean 'resnet50'"),
    ],
)
def test_a_figure_that_is_none(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_known(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # 1.8 G multiply-adds, of which an A100's peak of 312 TFLOPS allows 86,000 a second.
        ("resnet18@256=200000", "cannot be: at the peak of its data sheet, a100 computes 103,"),
        ("resnet18@1000000=9000", "cannot be: one layer of that batch moves .* and a100 has 40"),
        ("resnet18@256=90", "is far from the estimate of"),
    ],
)
def test_a_figure_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        with_known(find("a100"), [read_known(text)], memory_gb=40)


def test_a_profile_without_spread_has_none_to_narrow() -> None:
    old = find("a100").model_copy(update={"spread": None})
    with pytest.raises(InputError, match="no spread"):
        with_known(old, [read_known("resnet18@256=9000")])
