"""Charts of a check: figures against their limits, and placements in their networks."""

from collections.abc import Sequence

from bamctl.budgets.check import Check, Checked
from bamctl.report._wording import fraction
from bamctl.report.chart import Axis, Bar, Bars, Chart, NetworkSketch
from bamctl.report.charts.network import network_sketch


def check_charts(checked: Sequence[Checked]) -> list[Chart]:
    """Return charts of each figure as a part of its limit, and of the network of each placement."""
    return [*_limits(checked), *map(_network, checked)]


def _network(result: Checked) -> NetworkSketch:
    return network_sketch(result.trunk, result.placed, f"Where attention is in {result.name}")


def _limits(checked: Sequence[Checked]) -> list[Chart]:
    bars = [
        _bar(result, check)
        for result in checked
        for check in result.checks
        if check.figure is not None and check.limit is not None
    ]
    if not bars:
        return []
    return [
        Bars(
            title="Figures against their limits",
            text="Each figure as a part of its limit, which is the dashed line.",
            axis=Axis("of the limit", is_percent=True),
            bars=bars,
            limit=1.0,
        )
    ]


def _bar(result: Checked, check: Check) -> Bar:
    assert check.figure is not None
    assert check.limit is not None
    part = fraction(check.figure.value, float(check.limit))
    return Bar(
        name=f"{result.name} {check.metric}",
        value=part,
        label=f"{100 * part:.1f} % of {check.text}",
        is_bad=not check.passed,
    )
