"""Profiles: the shipped ones keep what is promised of them, and files are checked."""

from pathlib import Path

import pytest

from bamctl.errors import InputError
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
