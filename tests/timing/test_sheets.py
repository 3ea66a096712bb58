"""Data sheets: peaks agree with clock, units and width, and what cannot be is refused."""

import pytest

from bamctl.errors import InputError
from bamctl.timing.hardware import Hardware
from bamctl.timing.profiles import find
from bamctl.timing.sheets import DataSheet, check_plausible, data_sheet, data_sheets

ASKED = (
    "v100 t4 a10 a100 a100-80gb l4 l40s h100-pcie h100-sxm h200 rtx2080ti rtx3060 rtx4070 orin"
).split()


def test_the_devices() -> None:
    assert set(ASKED) < set(data_sheets())
    assert data_sheet("h100").name == "h100-sxm"
    assert data_sheet("a100-40gb").name == "a100"


@pytest.mark.parametrize("sheet", data_sheets().values(), ids=lambda sheet: sheet.name)
def test_a_peak_is_clock_times_units_times_width(sheet: DataSheet) -> None:
    # Two operations for each multiply-add, in 10^12/s.
    vector = sheet.multiprocessors * sheet.lanes * 2 * sheet.clock_ghz / 1e3
    assert sheet.vector_tflops == pytest.approx(vector, rel=0.02)
    clock = sheet.matrix_clock_ghz or sheet.clock_ghz
    for number, macs in sheet.matrix_macs.items():
        matrix = sheet.multiprocessors * macs * 2 * clock / 1e3
        assert sheet.matrix_tflops[number] == pytest.approx(matrix, rel=0.02)
    assert sheet.source.startswith("https://")
    check_plausible(sheet.hardware("amp_fp16"))


def test_a_precision_picks_the_units() -> None:
    a100, t4 = data_sheet("a100"), data_sheet("t4")
    assert a100.hardware("amp_fp16").matrix_tflops == 312
    assert a100.hardware("bf16").matrix_tflops == 312
    single = a100.hardware("fp32")
    assert (single.matrix_tflops, single.linear_tflops) == (156, 19.5)
    single = t4.hardware("fp32")
    assert (single.matrix_tflops, single.linear_tflops) == (8.1, 8.1)
    with pytest.raises(InputError, match="t4 has no matrix units for bf16; its data sheet has fp1"):
        t4.hardware("amp_bf16")


A100 = {"matrix_tflops": 312, "vector_tflops": 19.5, "bandwidth_gbps": 1555, "cache_mb": 40}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        # INT8 TOPS; dense, or of an L4 with sparsity.
        ({"matrix_tflops": 624}, "for 19.5 of vector units is 32, .* not TOPS of INT8"),
        (
            {"matrix_tflops": 485, "vector_tflops": 30.3, "bandwidth_gbps": 300},
            "for 300 GB/s, in operations for each byte, is 1617",
        ),
        ({"matrix_tflops": 312_000, "vector_tflops": 19_500}, "operations for each byte"),
        ({"bandwidth_gbps": 1.555}, r"the bandwidth in 10\^9 bytes/s"),
        ({"cache_mb": 40_960}, r"the cache in MB is 4.096e\+04, and devices have 0.1 to 1024"),
    ],
)
def test_an_implausible_data_sheet(changed: dict[str, float], words: str) -> None:
    check_plausible(Hardware(**A100))
    with pytest.raises(InputError, match=words):
        check_plausible(Hardware(**{**A100, **changed}))


def test_a_profile_from_a_data_sheet() -> None:
    profile = find("a100")
    assert (profile.known_from, profile.precision, profile.memory_format) == (
        "data_sheet",
        "amp_fp16",
        "contiguous",
    )
    assert profile.hardware == data_sheet("a100").hardware("amp_fp16")
    assert profile.held_out.mean_error <= 0.2
    assert profile.held_out.rank_correlation >= 0.985
    other = find("a100", "fp32", "channels_last")
    assert (other.precision, other.memory_format) == ("fp32", "channels_last")
    assert other.hardware.matrix_tflops == 156
    # Times in FP32 were not published: the same interval would promise too much.
    assert other.spread.more > profile.spread.more == 0


def test_another_precision_of_a_fitted_profile() -> None:
    fitted, bf16 = find("rtx3090"), find("rtx3090", "bf16")
    assert bf16.coefficients == fitted.coefficients
    assert bf16.precision == "bf16"
    with pytest.raises(InputError, match=r"did you mean 'a100"):
        find("a1000")
