"""`bamctl models` through the real console script."""

import json


def test_all_of_them_with_published_figures(bamctl: object) -> None:
    found = json.loads(bamctl("models", "--format", "json").stdout)["models"]
    assert len(found) == 121
    resnet50 = next(entry for entry in found if entry["model"] == "resnet50")
    assert resnet50["params"] == 25_557_032
    assert resnet50["macs"] == 4_089_000_000
    assert resnet50["bottlenecks"] is None


def test_counting_by_glob(bamctl: object) -> None:
    result = bamctl("models", "resnet[13]*", "--count")
    rows = [line.split() for line in result.stdout.splitlines()]
    counts = {row[0]: row[-2:] for row in rows if row and row[0].startswith("resnet")}
    assert counts == {
        "resnet101": ["3", "33"],
        "resnet152": ["3", "50"],
        "resnet18": ["3", "8"],
        "resnet34": ["3", "16"],
    }
