"""Profiles: the shipped ones keep what is promised of them, and files are checked."""

import json
from pathlib import Path

import pytest

from bamctl.errors import InputError
from bamctl.report.views.latency import latency_view
from bamctl.timing.latency import latency
from bamctl.timing.profiles import find, fitted_names, is_measurable, shipped_names

SHIPPED = ("rtx3090", "rtx4090", "rtx5090", "rtxpro6000maxq")


def test_the_shipped_devices() -> None:
    assert fitted_names() == SHIPPED
    assert set(SHIPPED) < set(shipped_names())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_is_as_sure_as_promised(name: str) -> None:
    profile = find(name)
    assert profile.name == name
    assert profile.held_out.mean_error <= 0.06
    assert profile.held_out.rank_correlation >= 0.985
    assert profile.mean_error <= profile.held_out.mean_error <= profile.held_out.max_error
    assert profile.num_networks >= 36
    assert set(profile.assumed) < set(profile.coefficients.model_dump())


def test_a_profile_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    find("rtx3090").save(path)
    assert find(str(path)) == find("rtx3090")


EARLIER = """\
schema: 1
name: earlier
precision: amp_fp16
memory_format: contiguous
hardware: {matrix_tflops: 71.0, vector_tflops: 35.6, bandwidth_gbps: 936.0, cache_mb: 6.0}
coefficients: {matmul: 1.2, spatial: 1.1, grouped: 1.0, depthwise: 0.25, attention: 0.16,
  matmul_width: 41, spatial_width: 10, grouped_width: 35, grouped_alignment: 1.4,
  bandwidth: 0.95, cache_speedup: 3.0, launch_us: 16}
source: some networks
num_networks: 3
batch_sizes: [64]
mean_error: 0.05
held_out: {mean_error: 0.06, max_error: 0.2, rank_correlation: 0.99, families: {vgg: 0.1}}
"""


def test_a_profile_of_an_earlier_version_still_estimates(tmp_path: Path) -> None:
    path = tmp_path / "earlier.yaml"
    path.write_text(EARLIER)
    found = latency("squeezenet1_1", where="features.4", input_shape="3x64x64", device=str(path))
    (estimate,) = found.batches
    assert estimate.base_seconds > 0
    # It has no spread, of which an interval could be made.
    assert estimate.intervals is None
    assert json.loads(json.dumps(latency_view(found).data))["batches"][0]["base_ms_90"] is None
    with pytest.raises(InputError, match="earlier has peaks for amp_fp16 only"):
        find(str(path), "fp32")
    assert find(str(path), "fp16", "channels_last").memory_format == "channels_last"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("bandwidth_gbps", "bandwith_gbps", "bandwidth_gbps"),
        ("  matrix_tflops: 71.0", "  matrix_tflops: -1", "greater than 0.0"),
        ("launch_us: ", "launch_us: 1e-300  #", "launch_us"),
        ("precision: amp_fp16", "precision: int8", "precision"),
        ("name: rtx3090", "name: ''", "name: should have at least 1 character, not ''"),
        ("schema: 1", "schema: 2", "schema"),
        ("rank_correlation: 0.", "rank_correlation: 1.", "less than or equal to 1"),
        ("launch_us: ", "launch_us: .inf  #", "launch_us"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "own.yaml"
    find("rtx3090").save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    number = text[: text.index(old)].count("\n") + 1
    with pytest.raises(InputError, match=words) as error:
        find(str(path))
    assert str(error.value).startswith(f"{path}:{number}: ")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rtx309", "did you mean 'rtx3090'"),
        ("abacus", "known are a10, a100, "),
        ("cuda:first", "use cpu, cuda, cuda:1 or mps"),
        ("nowhere.yaml", "No such file"),
    ],
)
def test_an_unknown_device(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find(name)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:11", "mps"])
def test_what_is_measured(name: str) -> None:
    assert is_measurable(name)


@pytest.mark.parametrize("name", ["rtx3090", "cuda:", "cuda:x", "cpu.yaml", "", "Cuda"])
def test_what_is_not_measured(name: str) -> None:
    assert not is_measurable(name)
