"""Charts of a check: figures against their limits, and placements in their networks."""

from collections.abc import Sequence

from bamctl import units
from bamctl.budgets.history import Record
from bamctl.budgets.results import Check, Checked
from bamctl.placement.metrics import METRICS, independent
from bamctl.report._wording import fraction
from bamctl.report.chart import Axis, Bar, Bars, Chart, NetworkSketch, Plot, Point, Series
from bamctl.report.charts.network import network_sketch


def check_charts(checked: Sequence[Checked], history: Sequence[Record] = ()) -> list[Chart]:
    """Return charts of each budget, of figures over time, and of each network."""
    return [*_limits(checked), *_over_time(history), *map(_network, checked)]


def _over_time(history: Sequence[Record]) -> list[Chart]:
    """Return a line for each placement that was recorded twice, for each independent metric."""
    by_name: dict[str, list[Record]] = {}
    for record in history:
        by_name.setdefault(record.placement, []).append(record)
    several = {name: records for name, records in by_name.items() if len(records) > 1}
    plots = []
    for metric in independent() if several else ():
        series = [_line(name, records, metric) for name, records in several.items()]
        plots.append(
            Plot(
                title=f"{METRICS[metric].title.capitalize()} over time",
                text="With attention, each check as a share of the first that was recorded.",
                x=Axis("recorded check"),
                y=Axis("of the first", is_percent=True, includes=(1.0,)),
                series=series,
            )
        )
    return list(plots)


def _line(name: str, records: Sequence[Record], metric: str) -> Series:
    values = [(record, record.value(metric)) for record in records]
    known = [(record, value) for record, value in values if value is not None]
    first = known[0][1] if known else 1
    points = [
        Point(
            number,
            fraction(value, first),
            f"{name}, {_when(record)}: {METRICS[metric].text(value)}",
        )
        for number, (record, value) in enumerate(known, 1)
    ]
    return Series(name, points, "line")


def _when(record: Record) -> str:
    commit = (record.commit or "no commit")[:10]
    return f"{record.time:%Y-%m-%d %H:%M} {commit}{' and changes' if record.is_dirty else ''}"


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
            title="Budgets",
            text="The dashed line is the limit. Where that is relative to the unmodified network, "
            "a bar is what attention adds as a part of what it may add; elsewhere it is the figure "
            "as a part of its limit, with the unmodified network in grey.",
            axis=Axis("of the limit", is_percent=True),
            bars=bars,
            limit=1.0,
        )
    ]


def _bar(result: Checked, check: Check) -> Bar:
    """Return the part of a limit that is used."""
    assert check.figure is not None
    assert check.limit is not None
    name, metric = f"{result.name} {check.metric}", METRICS[check.metric]
    value, base, limit = check.figure.value, check.figure.base, float(check.limit)
    added = fraction(value - base, base)
    if check.text.startswith("+") and limit > base:
        part = (value - base) / (limit - base)
        label = f"{units.percent(added)} of {check.text}"
        return Bar(name, max(part, 0.0), label, is_bad=not check.passed)
    label = f"{metric.text(value)} of {check.text}, {units.percent(added)} by attention"
    return Bar(
        name,
        fraction(value, limit),
        label,
        is_bad=not check.passed,
        base=fraction(min(base, value), limit),
    )
