"""Checks in Python: exact limits, and figures that are not to be had."""

from fractions import Fraction

import pytest

from bamctl import Placement
from bamctl.budgets.check import check, check_targets
from bamctl.budgets.figures import Figure
from bamctl.budgets.results import Check, Checked
from bamctl.budgets.targets import Target, Unchecked
from bamctl.errors import BamctlError
from bamctl.report.views.check import check_report

RESNET18 = {"model": "resnet18", "input": (3, 64, 64), "where": "bottleneck"}


def target(**budget: object) -> Target:
    return Target(Placement.from_options({**RESNET18, "budget": budget}))


def test_limits_are_exact() -> None:
    figure = Figure(base=3, value=4)
    assert Check("params", figure, Fraction(4), "4 params").passed
    assert not Check("params", figure, Fraction(4) - Fraction(1, 10**30), "").passed
    over = Check("params", figure, Fraction(3), "3 params")
    assert (over.headroom, over.exit_code) == (-1, 1)
    assert Check("params", figure, Fraction(3), "3 params", "warn").exit_code == 0
    assert Check("params", None, None, "", "warn").exit_code == 3
    assert Check("params", None, Fraction(3), "").exit_code == 3


def test_results_are_in_order_and_one_failure_spoils_no_other() -> None:
    wrong = Target(Placement(model="vgg11", input="3x1x1", budget={"params": "1 M"}))
    results = check_targets([wrong, target(params="+1 %")])
    assert [type(result) for result in results] == [Checked, Unchecked]
    assert [result.exit_code for result in results] == [0, 2]


def test_a_time_is_measured_on_the_device_of_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    def figure_on(metric: str, on: object, allowance: object) -> tuple[Figure, str]:
        asked.append((allowance.device, allowance.batch_size))
        if allowance.device == "cuda:7":
            raise BamctlError("no device 'cuda:7' to measure on")
        return Figure(0.002, 0.0021), "measured"

    asked: list[tuple[str, int]] = []
    monkeypatch.setattr("bamctl.budgets.check.figure_on", figure_on)
    budgets = [
        {"max": "+5 %", "device": "cpu", "batch_size": 8},
        {"max": "2.09 ms", "level": "error"},
        {"max": "9 s", "device": "cuda:7"},
    ]
    codes = [check_targets([target(latency=own)])[0].exit_code for own in budgets]
    assert codes == [0, 1, 3]
    assert asked == [("cpu", 8), ("cpu", 1), ("cuda:7", 1)]


@pytest.mark.parametrize(
    ("interval", "limit", "code", "strict", "verdict"),
    [
        # Of an unmodified 2 ms: the limit is inside of the interval, or beside it.
        ((0.0020, 0.0024), "2.1 ms", 0, 1, "cannot tell"),
        ((0.0020, 0.0024), "2.3 ms", 0, 1, "cannot tell"),
        ((0.0020, 0.0024), "2.4 ms", 0, 0, "passed"),
        ((0.0020, 0.0024), "1.9 ms", 1, 1, "failed"),
        (None, "2.1 ms", 1, 1, "failed"),
        (None, "2.3 ms", 0, 0, "passed"),
    ],
)
def test_an_estimate_may_not_tell(
    monkeypatch: pytest.MonkeyPatch,
    interval: tuple[float, float] | None,
    limit: str,
    code: int,
    strict: int,
    verdict: str,
) -> None:
    def figure_on(metric: str, on: object, allowance: object) -> tuple[Figure, str]:
        return Figure(0.002, 0.0022, interval), "estimated"

    monkeypatch.setattr("bamctl.budgets.check.figure_on", figure_on)
    placement = target(latency=limit).placement
    lax, sharp = (check(placement, strict=is_strict) for is_strict in (False, True))
    assert (lax.exit_code, sharp.exit_code) == (code, strict)
    (found,) = check_report(lax.results, (), why=False).data["checks"]
    assert (found["verdict"], found["passed"]) == (verdict, verdict == "passed")
    assert found["interval_90"] == (interval and [1e3 * each for each in interval])


def test_the_interval_of_a_ratio_is_narrower_than_that_of_a_time() -> None:
    devices = {"device": "a100", "batch_size": 64}
    relative, absolute = (
        check_targets([target(latency={"max": limit, **devices})])[0].checks[0].figure
        for limit in ("+5 %", "5 ms")
    )
    assert relative.value == absolute.value
    spans = [high / low for low, high in (relative.interval, absolute.interval)]
    assert spans[0] ** 2 < spans[1]


def test_a_real_measurement_is_of_both_networks() -> None:
    (result,) = check_targets([target(latency="+1000 %")])
    (found,) = result.checks
    assert found.passed
    assert found.figure.value > 0
    assert "measured on cpu" in found.note
    assert "95 % interval" in found.note
