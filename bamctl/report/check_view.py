"""A check of budgets as a report: the summary, what failed, why, and what would cure it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from bamctl import units
from bamctl.budget import Metric
from bamctl.check import Check, Checked
from bamctl.figures import MEASURES
from bamctl.report.check_charts import check_charts
from bamctl.report.document import Column, Finding, Report, Table
from bamctl.report.wording import CONVENTION, SCHEMA, fraction, left_out
from bamctl.targets import Unchecked

SHOWN: dict[Metric, Callable[[int], str]] = {
    "params": units.count,
    "macs": units.macs,
    "memory": units.size,
    "weights_file": units.size,
    "latency": units.duration,
}
UNITS: dict[Metric, str] = {
    "params": "parameters",
    "macs": "MACs",
    "memory": "bytes",
    "weights_file": "bytes",
    "latency": "ns",
}

Results = Sequence[Checked | Unchecked]


def check_report(results: Results, without_budget: Sequence[str], *, why: bool) -> Report:
    """Every limit with its value, headroom and verdict; then what is wrong, and where to edit."""
    checked = [result for result in results if isinstance(result, Checked)]
    findings = tuple(finding for result in results for finding in _findings(result))
    blocks: list[Table | str] = [_summary(checked)] if checked else []
    wrong = [finding for finding in findings if finding.verdict != "passed"]
    if wrong:
        blocks.append("\n".join(f"{finding.verdict}: {finding.message}" for finding in wrong))
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
    blocks.append(f"{CONVENTION} {left_out(uncounted)}")
    records = [_record(result, check) for result in checked for check in result.checks]
    return Report(
        _heading(findings),
        blocks,
        _data(results, records),
        records,
        findings,
        charts=check_charts(checked),
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
    show = SHOWN[check.metric]
    limit, headroom = check.limit, check.headroom
    return [
        result.name,
        check.metric,
        check.text,
        "" if limit is None else show(int(limit)),
        "" if check.figure is None else show(check.figure.value),
        "" if headroom is None else _signed(headroom, show),
        {"passed": "ok", "failed": "over", "warning": "over (warning)", "error": "not measured"}[
            _verdict(check)
        ],
    ]


def _signed(amount: Fraction, show: Callable[[int], str]) -> str:
    # Rounded away from zero, since an excess of half a byte is none of zero.
    whole = -(-abs(amount.numerator) // amount.denominator)
    return f"{'-' if amount < 0 else '+'}{show(whole if amount < 0 else int(amount))}"


def _verdict(check: Check) -> Any:
    if check.passed:
        return "passed"
    if check.headroom is None:
        return "error"
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
    value = f"{check.metric} {check.figure.value:,}"
    show = SHOWN[check.metric]
    note = f"; {check.note}" if check.note else ""
    if headroom >= 0:
        return f"{place}: {value} is within {check.text}{note}"
    cure = "; edit the limit there, or the placement" if check.line else ""
    excess = _signed(headroom, show).removeprefix("-")
    return f"{place}: {value} exceeds {check.text} by {excess}{note}{cure}"


def _sites(result: Checked) -> Table:
    titles = ("parameters", "", "MACs", "", "memory", "")
    columns = [Column("site"), *(Column(title, "right") for title in titles)]
    total, rows = result.placed.total, []
    for site, cost in zip(result.placed.sites, result.placed.costs, strict=True):
        rows.append(
            [
                site.point.module,
                units.count(cost.params),
                _share(cost.params, total.params),
                units.count(cost.macs),
                _share(cost.macs, total.macs),
                units.size(cost.memory_bytes),
                _share(cost.memory_bytes, total.memory_bytes),
            ]
        )
    return Table(columns, rows)


def _share(part: int, whole: int) -> str:
    return f"{100 * fraction(part, whole):.0f} %"


def _cure(result: Checked) -> str:
    static = [check for check in result.checks if check.metric in MEASURES and check.exit_code == 1]
    if not static:
        return "What a change does to the time has to be measured; drop a site, and check again."
    if result.advice is None:
        return "No single change meets the limits: neither fewer sites nor a larger r will do."
    figures = ", ".join(
        f"{metric} {SHOWN[metric](figure.value)}"
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
    return {
        "file": result.name if result.target.file else None,
        "line": check.line,
        "model": result.target.placement.model,
        "metric": check.metric,
        "unit": UNITS[check.metric],
        "limit": _number(check.limit),
        "limit_as_written": check.text,
        "base": check.figure.base if check.figure else None,
        "value": check.figure.value if check.figure else None,
        "headroom": _number(check.headroom),
        "level": check.level,
        "passed": check.passed,
        "note": check.note,
    }


def _number(value: Fraction | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)
