"""A profile made from a table, and one made from what is measured here."""

import csv
from pathlib import Path

import pytest

from bamctl.errors import BamctlError, InputError
from bamctl.networks import models
from bamctl.networks.inputs import read
from bamctl.timing.calibration import from_device, from_table
from bamctl.timing.hardware import Hardware
from bamctl.timing.placed import Estimator
from bamctl.timing.profiles import find
from bamctl.tracing.trace import trace

SIDE, BATCH = 64, 256
NETWORKS = ("resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5")


def write_table(folder: Path, name: str, rows: list[tuple[str, float]]) -> Path:
    path = folder / "times.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            "device model input_size batch_size images_per_second memory_format precision".split()
        )
        for model, rate in rows:
            writer.writerow([name, model, SIDE, BATCH, rate, "channels_last", "amp_fp16"])
    return path


@pytest.fixture(scope="module")
def rates() -> list[tuple[str, float]]:
    """Images a second of a device of which everything is known: that of a shipped profile."""
    found = []
    for name in NETWORKS:
        given = read((3, SIDE, SIDE))
        network = models.build(name, inputs=given, initialize=False)
        estimator = Estimator(network, trace(network, given), find("rtx4090"))
        found.append((name, BATCH / estimator.estimate((), BATCH).base_seconds))
    return found


def test_a_device_is_found_again_from_its_times(
    tmp_path: Path, rates: list[tuple[str, float]]
) -> None:
    told: list[str] = []
    hardware = find("rtx4090").hardware
    found = from_table(write_table(tmp_path, "mine", rates), "mine", hardware, told.append)
    profile = found.profile
    assert (profile.name, profile.precision, profile.memory_format) == (
        "mine",
        "amp_fp16",
        "channels_last",
    )
    assert (profile.num_networks, profile.batch_sizes) == (5, [BATCH])
    assert "times.csv" in profile.source
    # Of five networks, the fit need not find the very coefficients, but it explains the times.
    assert profile.mean_error < 0.03
    assert profile.held_out.mean_error < 0.15
    assert [each.model for each in found.fitted] == list(NETWORKS)
    assert {each.family for each in found.held_out} == set(profile.held_out.families)
    assert "tracing mobilenet_v2" in told
    profile.save(tmp_path / "mine.yaml")
    assert find(str(tmp_path / "mine.yaml")) == profile


def test_a_device_that_nothing_is_known_of(tmp_path: Path, rates: list[tuple[str, float]]) -> None:
    with pytest.raises(InputError, match=r"hardware of 'mine' is unknown; add --matrix-tflops"):
        from_table(write_table(tmp_path, "mine", rates), "mine")


def test_a_network_that_nobody_knows(tmp_path: Path) -> None:
    path = write_table(tmp_path, "rtx4090", [("resnet19", 1000.0)])
    with pytest.raises(InputError, match="resnet19"):
        from_table(path, "rtx4090")


def test_networks_of_one_family(tmp_path: Path) -> None:
    path = write_table(tmp_path, "rtx4090", [("resnet18", 1000.0), ("resnet34", 600.0)])
    with pytest.raises(BamctlError, match="one family"):
        from_table(path, "rtx4090")


def test_this_machine_is_measured() -> None:
    networks = ("squeezenet1_1", "mobilenet_v3_small")
    found = from_device("cpu", "here", networks=networks, batch_sizes=(1, 2), seconds=0.05)
    profile = found.profile
    assert (profile.name, profile.precision) == ("here", "fp32")
    assert (profile.num_networks, profile.batch_sizes) == (2, [1, 2])
    assert isinstance(profile.hardware, Hardware)
    # No processor has less than a gigabyte a second and a billion operations.
    assert profile.hardware.bandwidth_gbps > 1
    assert profile.hardware.matrix_tflops > 1e-3
    assert "timed on" in profile.source
    assert [(each.model, each.batch_size) for each in found.held_out] == [
        (name, size) for name in networks for size in (1, 2)
    ]
    assert all(each.measured_seconds > 0 for each in found.fitted)


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        (("resnt18", "vgg11"), "did you mean 'resnet18'"),
        (("timm:resnet18", "vgg11"), "is not a torchvision network"),
        (("resnet18", "resnet34"), "of one family"),
    ],
)
def test_networks_that_cannot_calibrate(networks: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        from_device("cpu", "here", networks=networks)
