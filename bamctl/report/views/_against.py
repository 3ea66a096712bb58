"""A comparison with another revision, as blocks and data of a check's report."""

from collections.abc import Iterator
from typing import Any

from bamctl import units
from bamctl.budgets.against import Compared, Comparison
from bamctl.budgets.figures import Figure
from bamctl.placement.metrics import METRICS
from bamctl.report._wording import fraction
from bamctl.report.document import Column, Table


def comparison_blocks(comparison: Comparison) -> list[Table | str]:
    """Return what changed since a revision, how much did not, and what could not be compared."""
    rows = [row for each in comparison.placements for row in _rows(each)]
    columns = [
        Column(f"since {_ref(comparison)}"),
        Column("change"),
        Column("metric"),
        Column("before", "right"),
        Column("after", "right"),
        Column("difference", "right"),
        Column("", "right"),
    ]
    blocks: list[Table | str] = [Table(columns, rows)] if rows else []
    same = sum(1 for each in comparison.placements if each.status == "unchanged")
    if same:
        few = "1 placement costs" if same == 1 else f"{same} placements cost"
        blocks.append(f"{few} what {'it' if same == 1 else 'they'} did at {_ref(comparison)}.")
    blocks += [f"Not compared with {comparison.ref}: {text}." for text in comparison.problems]
    return blocks


def _ref(comparison: Comparison) -> str:
    ref, commit = comparison.ref, comparison.commit[:10]
    return commit if comparison.commit.startswith(ref) else f"{ref} ({commit})"


def _rows(compared: Compared) -> Iterator[list[str]]:
    before, after = compared.before, compared.after
    change = f"renamed from {compared.was}" if compared.was else compared.status
    metrics = [m for m in METRICS if before.get(m) != after.get(m)] if not compared.reason else []
    if compared.status == "renamed" and not metrics:
        yield [compared.name, change, "", "", "", "", ""]
    for number, metric in enumerate(metrics):
        first = number == 0
        yield [
            compared.name if first else "",
            change if first else "",
            metric,
            _text(metric, before.get(metric)),
            _text(metric, after.get(metric)),
            *_difference(metric, before.get(metric), after.get(metric)),
        ]


def _text(metric: str, figure: Figure | None) -> str:
    return "-" if figure is None else METRICS[metric].text(figure.value)


def _difference(metric: str, before: Figure | None, after: Figure | None) -> list[str]:
    if before is None or after is None:
        return ["", ""]
    size = METRICS[metric].text(abs(after.value - before.value))
    sign = "-" if after.value < before.value else "+"
    return [f"{sign}{size}", units.percent(fraction(after.value - before.value, before.value))]


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as data."""
    return {
        "ref": comparison.ref,
        "commit": comparison.commit or None,
        "placements": [_data(each) for each in comparison.placements],
        "problems": list(comparison.problems),
    }


def _data(compared: Compared) -> dict[str, Any]:
    metrics = [m for m in METRICS if m in compared.before or m in compared.after]
    return {
        "name": compared.name,
        "status": compared.status,
        "was": compared.was,
        "reason": compared.reason or None,
        "figures": {m: _pair(m, compared.before.get(m), compared.after.get(m)) for m in metrics},
    }


def _pair(metric: str, before: Figure | None, after: Figure | None) -> dict[str, Any]:
    to_json = METRICS[metric].to_json
    return {
        "before": None if before is None else to_json(before.value),
        "after": None if after is None else to_json(after.value),
        "difference": None
        if before is None or after is None
        else to_json(after.value) - to_json(before.value),
    }
