"""The contract of every metric, and that one more is one entry."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from bamctl import Placement
from bamctl.budgets import baseline
from bamctl.budgets.check import check_targets
from bamctl.budgets.figures import Priced, Timed, price
from bamctl.budgets.results import Checked
from bamctl.budgets.targets import Target
from bamctl.nas.goals import parse_goal
from bamctl.placement.budget import Budget, parse_limit
from bamctl.placement.metrics import METRICS, Metric, searchable, static
from bamctl.trunk.traced import TracedNetwork
from tests import console

every = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())


@pytest.fixture(scope="module")
def priced() -> Priced:
    wanted = Placement(model="resnet18", where="bottleneck", input=(3, 64, 64), num_classes=10)
    priced = price(TracedNetwork.load(wanted), wanted)
    return Priced(priced.subject, wanted, priced.placed, Timed(0.002, 0.0005))


@every
def test_a_metric_describes_itself(metric: Metric) -> None:
    assert METRICS[metric.name] is metric
    for text in (metric.title, metric.meaning, metric.json_key, metric.json_unit):
        assert text
    assert metric.follows is None or metric.follows in METRICS
    # Units are in the keys of JSON, but for counts.
    counts = {"params", "macs"}
    ends = {"bytes": "_bytes", "ms": "_ms"}
    assert metric.name in counts or metric.json_key.endswith(ends[metric.json_unit])


@every
def test_its_example_is_a_limit_that_a_budget_keeps(metric: Metric) -> None:
    limit = parse_limit(metric.name, metric.example)
    assert limit.above(0) > 0
    assert parse_limit(metric.name, "+2 %").above(100) == 102
    allowances = Budget.model_validate({metric.name: metric.example}).allowances()
    assert [(name, each.max) for name, each in allowances.items()] == [
        (metric.name, metric.example)
    ]
    assert hasattr(allowances[metric.name], "device") == metric.needs_device
    written = metric.text(float(limit.amount))
    unit = written.split()[-1].removesuffix(metric.title)
    assert any(each.startswith(unit) for each in metric.units), "an output can be typed in"


@every
def test_its_figures_are_amounts(metric: Metric, priced: Priced) -> None:
    base, added = metric.base(priced), metric.added(priced)
    assert base > 0
    assert added > 0
    bare = Priced(priced.subject, priced.placement, type(priced.placed)((), ()), Timed(0.002, 0))
    assert metric.added(bare) == 0
    assert metric.base(bare) == base
    assert metric.from_steps(metric.in_steps(added)) == added


@every
def test_a_search_names_it_if_its_figures_are_sums(metric: Metric) -> None:
    if metric.name in searchable():
        goal = parse_goal(metric.goal.replace("DEVICE", "rtx3090"))
        assert (goal.metric, goal.device) == (metric, "rtx3090" if metric.needs_device else None)
    else:
        with pytest.raises(ValueError, match="is not supported in a search"):
            parse_goal(metric.name)


@pytest.mark.parametrize("name", [name for name in static() if name in searchable()])
def test_the_figures_that_a_search_adds_up_are_sums_over_sites(name: str, priced: Priced) -> None:
    from bamctl.budgets.figures import spent

    assert sum(spent(priced)[name]) == METRICS[name].added(priced)


def test_times_are_in_seconds_and_in_json_in_milliseconds() -> None:
    latency = METRICS["latency"]
    assert latency.to_json(0.0025) == pytest.approx(2.5)
    assert latency.to_json(Fraction(3, 1000)) == 3
    assert (latency.json_key, latency.text(0.0025)) == ("latency_ms", "2.50 ms")
    assert parse_goal("latency@rtx3090").json_key == "latency_ms@rtx3090"


def test_a_baseline_of_the_version_before_has_nanoseconds(tmp_path: Path, priced: Priced) -> None:
    target = Target(priced.placement.model_copy(update={"budget": Budget(params="+1 %")}))
    accepted = {
        name: {
            "base": metric.base(priced),
            "value": metric.base(priced) + metric.added(priced),
        }
        for name, metric in static().items()
    }
    accepted["latency"] = {"base": 1_900_000, "value": 2_000_000}
    data = {"schema": 1, "tolerance": "+10 %", "versions": {}, "figures": {target.key: accepted}}
    (tmp_path / "b.json").write_text(json.dumps(data))
    read = baseline.load(tmp_path / "b.json")
    assert read.limit(target.key, "latency") == pytest.approx(0.0022, rel=1e-12)
    (result,) = check_targets([target], baseline=read)
    assert isinstance(result, Checked)
    assert [each.passed for each in result.checks] == [True] * (1 + len(static()))


# What somebody would write to add a metric: one entry.
ADDED = """
import json, sys
from bamctl import units
from bamctl.placement.metrics import METRICS, Metric

METRICS["elementwise"] = Metric(
    name="elementwise",
    title="elementwise",
    meaning="elementwise operations for one image",
    units={"ops": 1, "Mops": 10**6},
    example="90 Mops",
    text=units.count,
    json_key="elementwise_ops",
    json_unit="operations",
    base=lambda priced: priced.subject.trace.elementwise_ops[""],
    added=lambda priced: priced.placed.total.elementwise_ops,
    noun="operations",
)

import io
from contextlib import redirect_stderr, redirect_stdout

from bamctl.cli.app import run

found = []
for arguments in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run(arguments)
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


def test_a_metric_is_one_entry(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "model: resnet18\ninput: 3x64x64\nwhere: layer1\nbudget:\n  elementwise: 1 ops\n"
    )
    network = ["--input", "3x64x64"]
    commands = [
        ["check", "p.yaml", "--why", "--format", "json"],
        ["check", "p.yaml", "--why"],
        ["check", "resnet18", *network, "--max-elementwise", "+900 %"],
        ["check", "p.yaml", "--save-baseline", "b.json"],
        ["check", "p.yaml", "--baseline", "b.json", "--format", "json"],
        ["check", "--help"],
        ["search", "--help"],
        ["schema"],
        ["check", "--init", "resnet18", *network],
        [
            "search", "resnet18", *network, "--dry-run", "--data", "digits", "--format", "json",
            "--objective", "elementwise", "--budget", "elementwise=+900%",
        ],
    ]  # fmt: skip
    done = console.run_text(ADDED, json.dumps(commands), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert [each[0] for each in results] == [1, 1, 0, 0, 1, 0, 0, 0, 0, 0], results
    checked, why, limited, saved, compared, check_help, search_help, schema, init, search = results

    (record,) = json.loads(checked[1])["checks"]
    assert (checked[0], record["metric"], record["unit"]) == (1, "elementwise", "operations")
    # By hand, a BAM of 64 channels and r=16 on a map of 16x16: pooling, ReLU and batch norm of the
    # channel branch; three ReLUs and a batch norm of the spatial one; their sum; sigmoid, product
    # and sum.
    pixels, channels, hidden = 16 * 16, 64, 4
    channel_branch = channels * pixels + hidden + channels
    spatial_branch = pixels * (3 * hidden + 1)
    gate = channels * pixels
    added = channel_branch + spatial_branch + gate + gate + 2 * channels * pixels
    assert record["value"] - record["base"] == added
    assert "elementwise" in why[1]
    assert "100 %" in why[1]
    assert limited[0] == 0
    assert saved[0] == 0
    pair = next(iter(json.loads((tmp_path / "b.json").read_text())["figures"].values()))
    assert pair["elementwise"] == {"base": record["base"], "value": record["value"]}
    assert "elementwise" in {each["metric"] for each in json.loads(compared[1])["checks"][1:]}
    assert "--max-elementwise" in check_help[1]
    assert "'90 Mops'" in " ".join(check_help[1].split())
    assert "elementwise" in search_help[1]
    assert "elementwise" in json.loads(schema[1])["$defs"]["Budget"]["properties"]
    assert init[0] == 0
    assert "  elementwise: +" in (tmp_path / "placements" / "resnet18.yaml").read_text()
    found = json.loads(search[1])
    assert found["objectives"] == ["elementwise"]
    assert found["base"]["elementwise_ops"] == record["base"]
    assert all("added_elementwise_ops" in each for each in found["cheapest"])
