"""Published results beside an analysis."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bamctl.analysis.known import PublishedResult
from bamctl.report.document import Column, Table


def known_blocks(model: str, known: Sequence[PublishedResult]) -> list[Table | str]:
    """Return the table of published results for a network, and their sources."""
    if not known:
        return [f"No published result for {model} is on record; `bamctl train` finds out."]
    sources = list(dict.fromkeys((each.source, each.url) for each in known))
    columns = [
        Column("published"),
        Column("where"),
        Column("data"),
        Column("measured"),
        Column("without", "right"),
        Column("with", "right"),
        Column("gain", "right"),
        Column("source", "right"),
    ]
    rows = [
        [
            each.module,
            each.where or "-",
            each.data,
            each.metric,
            f"{each.without:.2f}",
            f"{each.with_module:.2f}",
            f"{each.gain:+.2f}",
            _reference(each, sources.index((each.source, each.url)) + 1),
        ]
        for each in known
    ]
    named = ". ".join(
        f"[{number}] {title}, {url}" for number, (title, url) in enumerate(sources, 1)
    )
    return [
        Table(columns, rows),
        f"In percent. Results of different sources are not comparable, since "
        f"recipes differ. {named}.",
    ]


def _reference(result: PublishedResult, number: int) -> str:
    return f"[{number}]" if result.table is None else f"[{number}], table {result.table}"


def known_data(result: PublishedResult) -> dict[str, Any]:
    """Return a published result as data."""
    return {**asdict(result), "gain": round(result.gain, 3)}
