"""Placements beside each other: on one device in turn, or estimated for several."""

from pathlib import Path

import pytest

from bamctl import Placement
from bamctl.errors import InputError
from bamctl.report.views.comparison import comparison_view
from bamctl.timing.comparison import compare, variants_of
from bamctl.timing.latency import latency

WANTED = Placement.from_options({"model": "resnet18", "input": (3, 64, 64), "where": "bottleneck"})


def test_what_a_name_stands_for(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("schema: 1\nwhere: layer2\nattention: {module: se, reduction: 4}\n")
    found = variants_of(["bam", "se", str(own)], WANTED)
    assert [each.attention.module for each in found.values()] == ["bam", "se", "se"]
    assert {each.key for each in found.values()} == {WANTED.key}
    assert found[str(own)].attention.reduction == 4
    assert found["se"].where == WANTED.where


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["bam", "bam"], "bam is given twice"),
        (["baam"], "neither a placement file nor a shipped placement, and .* .did you mean 'bam'"),
        (["none.yaml"], "none.yaml"),
    ],
)
def test_names_that_stand_for_nothing(names: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        variants_of(names, WANTED)


def test_a_placement_on_another_network(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("schema: 1\nmodel: vgg11\nwhere: bottleneck\n")
    with pytest.raises(InputError, match="is a placement on vgg11, and the others are on resnet18"):
        variants_of([str(path)], WANTED)


def test_estimates_are_those_of_each_alone() -> None:
    variants = variants_of(["bam", "se"], WANTED)
    found = compare(variants, devices=["a100", "rtx4090"], batch_sizes=[64, 1])
    rows = [(each.device, each.batch_size, each.variant.name) for each in found.timings]
    assert rows == [
        (device, size, name)
        for device in ("a100", "rtx4090")
        for size in (1, 64)
        for name in ("bam", "se")
    ]
    for each in found.timings:
        alone = latency(
            placement=each.variant.placement, device=each.device, batch_sizes=[each.batch_size]
        )
        assert alone.batches[0] == each.found
    data = comparison_view(found).data
    assert data["estimated"] is True
    for row in data["rows"]:
        low, high = row["ratio_90"]
        assert low < row["ratio"] < high
        assert row["ratio"] == pytest.approx(row["modified_ms"] / row["base_ms"])
        assert row["ratio_ci95"] is row["verdict"] is None


def test_measured_in_turn() -> None:
    variants = variants_of(["bam", "se"], WANTED)
    found = compare(variants, devices=["cpu"], min_seconds=0.1)
    one, two = (each.found for each in found.timings)
    # The rounds of the unmodified network are the same beside both.
    assert one.base_seconds == two.base_seconds
    assert len(one.modified_seconds) == len(two.modified_seconds) == len(one.base_seconds) >= 20
    report = comparison_view(found)
    assert [row["placement"] for row in report.data["rows"]] == ["bam", "se"]
    assert report.data["rows"][0]["ratio_ci95"] == list(one.ratio_ci95)
    (picture,) = report.charts
    points = picture.series[0].points
    assert [(point.y, point.low, point.high) for point in points] == [
        ("bam", *one.ratio_ci95),
        ("se", *two.ratio_ci95),
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"devices": ["cpu", "a100"]}, "one device at a time to measure on, not cpu, a100"),
        ({"devices": ["a100", "a10o"]}, "did you mean 'a10'"),
        ({"devices": ["a100"], "min_seconds": 3}, "--min-seconds applies to measurements only"),
        ({"devices": ["a100"], "setup": {"train": True}}, "--train applies to measurements only"),
    ],
)
def test_what_cannot_be_compared(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        compare({"bam": WANTED}, **options)
