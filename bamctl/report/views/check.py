"""A check of budgets as a report: the summary, failures, their causes, and advice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

from bamctl.budgets.against import Comparison
from bamctl.budgets.history import Record
from bamctl.budgets.results import Check, Checked
from bamctl.budgets.targets import Unchecked
from bamctl.placement.metrics import METRICS, Amount, static
from bamctl.report._wording import CONVENTION, CONVENTION_LINE, SCHEMA, fraction, left_out
from bamctl.report.charts.check import check_charts
from bamctl.report.document import Column, Finding, Report, Table
from bamctl.report.views._against import comparison_blocks, comparison_data

Results = Sequence[Checked | Unchecked]

_WORDS = {"passed": "ok", "failed": "over", "warning": "over (warning)", "error": "not measured"}


def check_report(
    results: Results,
    without_budget: Sequence[str],
    *,
    why: bool,
    comparison: Comparison | None = None,
    history: Sequence[Record] = (),
) -> Report:
    """Show every limit with value, headroom and verdict; then the failures, and where to edit."""
    checked = [result for result in results if isinstance(result, Checked)]
    findings = tuple(finding for result in results for finding in _findings(result))
    blocks: list[Table | str] = [_summary(checked)] if checked else []
    wrong = [finding for finding in findings if finding.verdict != "passed"]
    if wrong:
        blocks.append("\n".join(f"{finding.verdict}: {finding.message}" for finding in wrong))
    if comparison is not None:
        blocks += comparison_blocks(comparison)
    blocks += [
        f"{check.metric} of {result.name}: {check.note}."
        for result in checked
        for check in result.checks
        if check.passed and check.note
    ]
    for result in checked if why else ():
        if result.exit_code:
            blocks += [f"Why {result.name} costs what it does:", _sites(result), _cure(result)]
    if without_budget:
        blocks.append(f"Without a budget, not checked: {len(without_budget)} placements.")
    blocks += [f"{each} has no site: nothing is inserted there." for each in _empty(checked)]
    uncounted: Counter[str] = Counter()
    for result in checked:
        uncounted.update(result.uncounted)
    blocks.append(f"{CONVENTION_LINE} {left_out(uncounted)}")
    records = [_record(result, check) for result in checked for check in result.checks]
    data = _data(results, records)
    if comparison is not None:
        data["against"] = comparison_data(comparison)
    return Report(
        _heading(findings),
        blocks,
        data,
        records,
        findings,
        charts=check_charts(checked, history),
        answer=[block for block in blocks[: 2 if wrong and checked else 1] if checked or wrong],
    )


def _empty(checked: Sequence[Checked]) -> list[str]:
    return [result.name for result in checked if not result.placed.sites]


def _heading(findings: Sequence[Finding]) -> str:
    words = {"failed": "over the limit", "error": "not measured", "warning": "warnings"}
    numbers = {v: sum(1 for finding in findings if finding.verdict == v) for v in words}
    said = [f"{number} {words[verdict]}" for verdict, number in numbers.items() if number]
    return f"bamctl check: {len(findings)} checks, {', '.join(said) or 'all within their limits'}"


def _summary(checked: Sequence[Checked]) -> Table:
    columns = [
        Column("placement"),
        Column("metric"),
        Column("limit", "right"),
        Column("", "right"),
        Column("value", "right"),
        Column("headroom", "right"),
        Column("verdict"),
    ]
    rows: list[list[str]] = []
    emphasized: set[int] = set()
    for result in checked:
        for check in result.checks:
            if not check.passed:
                emphasized.add(len(rows))
            rows.append(_row(result, check))
    return Table(columns, rows, frozenset(emphasized))


def _row(result: Checked, check: Check) -> list[str]:
    metric = METRICS[check.metric]
    limit, headroom = check.limit, check.headroom
    return [
        result.name,
        check.metric,
        check.text,
        "" if limit is None else metric.text(_rounded(limit, check)),
        "" if check.figure is None else metric.text(check.figure.value),
        "" if headroom is None else _signed(headroom, check),
        "cannot tell" if check.is_open else _WORDS[_verdict(check)],
    ]


def _signed(headroom: Fraction, check: Check) -> str:
    size = METRICS[check.metric].text(_rounded(abs(headroom), check, up=headroom < 0))
    return f"{'-' if headroom < 0 else '+'}{size}"


def _rounded(amount: Fraction, check: Check, *, up: bool = False) -> Amount:
    """Round to a whole number where the figure is one, and never an excess to zero."""
    if check.figure is not None and isinstance(check.figure.value, float):
        return float(amount)
    return ceil(amount) if up else int(amount)


def _verdict(check: Check) -> Any:
    if check.passed:
        return "passed"
    if check.headroom is None:
        return "error"
    if check.is_open:
        return "warning"
    return "failed" if check.level == "error" else "warning"


def _findings(result: Checked | Unchecked) -> Iterator[Finding]:
    if isinstance(result, Unchecked):
        message = " ".join(result.reason.split())
        yield Finding(result.name, "can be checked", message, "error", result.file, result.line)
        return
    file = result.name if result.target.file else None
    for check in result.checks:
        title = f"{check.metric} within {check.text}"
        message = _message(result, check)
        yield Finding(result.name, title, message, _verdict(check), file, check.line)


def _message(result: Checked, check: Check) -> str:
    name = " ".join(result.name.split())
    place = f"{name}:{check.line}" if check.line else name
    headroom = check.headroom
    if check.figure is None or headroom is None:
        return f"{place}: {check.metric}: {check.note}"
    value = f"{check.metric} {_exactly(check.metric, check.figure.value)}"
    note = f"; {check.note}" if check.note else ""
    if check.is_open and check.figure.interval is not None:
        low, high = map(METRICS[check.metric].text, check.figure.interval)
        return (
            f"{place}: {value}: cannot tell whether it is within {check.text}, since the 90 % "
            f"interval is {low} to {high}{note}"
        )
    if headroom >= 0:
        return f"{place}: {value} is within {check.text}{note}"
    cure = "; edit the limit there, or the placement" if check.line else ""
    excess = _signed(headroom, check).removeprefix("-")
    return f"{place}: {value} exceeds {check.text} by {excess}{note}{cure}"


def _exactly(metric: str, value: Amount) -> str:
    """Format every digit of a count or a size; a time with its unit."""
    return f"{value:,}" if isinstance(value, int) else METRICS[metric].text(value)


def _sites(result: Checked) -> Table:
    columns = [Column("site")]
    for name in result.spent:
        columns += [Column(METRICS[name].title, "right"), Column("", "right")]
    rows = [
        [site.name, *(text for name in result.spent for text in _spent(result, name, i))]
        for i, site in enumerate(result.placed.sites)
    ]
    return Table(columns, rows)


def _spent(result: Checked, name: str, number: int) -> list[str]:
    """Format what a site adds to a metric, and its share of what all sites add."""
    every = result.spent[name]
    return [METRICS[name].cell(every[number]), _share(every[number], sum(every))]


def _share(part: Amount, whole: Amount) -> str:
    return f"{100 * fraction(part, whole):.0f} %"


def _cure(result: Checked) -> str:
    exceeded = [
        check for check in result.checks if check.metric in static() and check.exit_code == 1
    ]
    if not exceeded:
        return "The effect of a change on time must be measured; drop a site, and check again."
    if result.advice is None:
        return "No single change meets the limits: neither fewer sites nor a larger r suffices."
    figures = ", ".join(
        f"{metric} {METRICS[metric].text(figure.value)}"
        for metric, figure in result.advice.figures.items()
    )
    return f"The cheapest change that meets the limits: {result.advice.change} ({figures})."


def _data(results: Results, records: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "passed": all(result.exit_code == 0 for result in results),
        "checks": records,
        "errors": [
            {"file": result.name, "reason": result.reason, "exit_code": result.exit_code}
            for result in results
            if isinstance(result, Unchecked)
        ],
        "advice": {
            result.name: result.advice.change
            for result in results
            if isinstance(result, Checked) and result.advice
        },
        "uncounted_operators": {
            result.name: result.uncounted
            for result in results
            if isinstance(result, Checked) and result.uncounted
        },
        "convention": CONVENTION,
    }


def _record(result: Checked, check: Check) -> dict[str, Any]:
    metric, figure = METRICS[check.metric], check.figure
    return {
        "file": result.name if result.target.file else None,
        "line": check.line,
        "model": result.target.placement.model,
        "metric": check.metric,
        "unit": metric.json_unit,
        "limit": None if check.limit is None else metric.to_json(check.limit),
        "limit_as_written": check.text,
        "base": None if figure is None else metric.to_json(figure.base),
        "value": None if figure is None else metric.to_json(figure.value),
        "headroom": None if check.headroom is None else metric.to_json(check.headroom),
        "interval_90": _interval(check),
        "level": check.level,
        "passed": check.passed,
        "verdict": "cannot tell" if check.is_open else _verdict(check),
        "note": check.note,
    }


def _interval(check: Check) -> list[Amount] | None:
    if check.figure is None or check.figure.interval is None:
        return None
    return [METRICS[check.metric].to_json(value) for value in check.figure.interval]
