"""The contract of every strategy, and a new one by one entry."""

import json
from pathlib import Path

import pytest
import torchvision

from bamctl import Placement
from bamctl.placement.patterns import as_pattern
from bamctl.placement.sites import resolve
from bamctl.tracing.trace import trace
from bamctl.trunk._find import find_trunk
from bamctl.trunk.strategies import DEFAULT_STRATEGY, STRATEGIES
from tests import console
from tests.networks import Unseen

NETWORKS = {
    "resnet18": (torchvision.models.resnet18, (3, 64, 64)),
    "vgg11": (torchvision.models.vgg11, (3, 32, 32)),
    "unseen": (Unseen, (3, 32, 32)),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_selects_cut_points_in_the_order_of_the_forward_pass(
    name: str, network: str
) -> None:
    builder, shape = NETWORKS[network]
    model = builder()
    trunk = find_trunk(model, trace(model, shape))
    points = STRATEGIES[name].points(trunk, "all")
    known = {*trunk.points, *trunk.side_points.values()}
    assert all(point in known for point in points)
    assert list(points) == sorted(set(points), key=lambda point: point.position)
    sites = resolve(Placement(where=name, stages="all"), trunk)
    assert tuple(site.point for site in sites) == points


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_name_of_a_strategy_is_one_word_with_a_help_text(name: str) -> None:
    # A search names its own baseline, and `all` is every cut point there.
    assert name not in ("all", "baseline")
    assert name.replace("-", "").isalnum()
    assert STRATEGIES[name].help.strip()
    assert "\n" not in STRATEGIES[name].help
    assert as_pattern(name) != name


def test_the_default_is_a_strategy() -> None:
    assert DEFAULT_STRATEGY in STRATEGIES
    assert Placement().patterns() == (DEFAULT_STRATEGY,)


ENTRY = """
import contextlib, io, json, sys
from bamctl.trunk.strategies import STRATEGIES, Strategy

STRATEGIES["end"] = Strategy(
    lambda trunk, stages: tuple(stage.end for stage in trunk.stages), "the end of each stage"
)
from bamctl.cli.app import run
shown = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = run(arguments)
    shown.append([code, out.getvalue()])
print(json.dumps(shown))
"""
# By hand: ResNet-18 halves 64 pixels five times, after its stem and in front of three stages.
ENDS = ["relu", "layer1", "layer2", "layer3", "layer4"]
NETWORK = ["resnet18", "--input", "3x64x64", "--format", "json"]
CHOICES = ["--reduction", "16", "--dilation", "4", "--branches", "both", "--combine", "sum"]


def with_one_entry_more(folder: Path, *commands: list[str]) -> list[str]:
    """What commands print in a process that has one strategy more."""
    done = console.run_text(ENTRY, json.dumps(commands), cwd=folder)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [code for code, _ in shown] == [0] * len(commands), done.stderr
    return [text for _, text in shown]


def test_a_new_strategy_is_one_entry(tmp_path: Path) -> None:
    analyzed, inserted, searched = map(
        json.loads,
        with_one_entry_more(
            tmp_path,
            ["analyze", *NETWORK],
            ["insert", *NETWORK, "--where", "end"],
            ["search", *NETWORK, "--candidates", "end", *CHOICES, "--dry-run"],
        ),
    )
    assert analyzed["placements"]["end"]["modules"] == ENDS
    added = {point["module"]: point["added_params"] for point in analyzed["points"]}
    assert analyzed["placements"]["end"]["added_params"] == sum(added[name] for name in ENDS)
    assert inserted["modules"] == ENDS
    # A module or none at each of the five ends.
    assert searched["candidates"] == 2 ** len(ENDS)


def test_a_new_strategy_is_in_every_help_and_in_the_schema(tmp_path: Path) -> None:
    commands = [["insert", "--help"], ["train", "--help"], ["search", "--help"], ["schema"]]
    for text in with_one_entry_more(tmp_path, *commands):
        assert "bottleneck, block, branch, level, end," in " ".join(text.split())
