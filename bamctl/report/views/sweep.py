"""A sweep over many networks as a report."""

from collections.abc import Sequence
from typing import Any

from bamctl import units
from bamctl.analysis.sweep import NotSwept, Swept
from bamctl.attention.settings import Settings
from bamctl.networks import inputs
from bamctl.report._wording import (
    CONVENTION,
    CONVENTION_LINE,
    SCHEMA,
    attention_data,
    fraction,
    settings,
)
from bamctl.report.document import Column, Report, Table
from bamctl.trunk.strategies import of_paper


def sweep_report(results: Sequence[Swept | NotSwept], attention: Settings) -> Report:
    """Show a row for each network, and the reasons of those that could not be analysed."""
    found = [each for each in results if isinstance(each, Swept)]
    failed = [each for each in results if isinstance(each, NotSwept)]
    reasons = "\n".join(f"{each.model}: {each.reason}" for each in failed)
    records = [record(each) for each in results]
    return Report(
        heading=f"{len(results)} models" + (f", {len(failed)} failed" if failed else ""),
        blocks=[
            *([_table(found)] if found else []),
            *([reasons] if failed else []),
            *_impossible(found),
            f"{settings(attention)}.\n{CONVENTION_LINE}",
        ],
        data={
            "schema": SCHEMA,
            "attention": attention_data(attention),
            "models": records,
            "convention": CONVENTION,
        },
        records=records,
    )


def record(result: Swept | NotSwept) -> dict[str, Any]:
    """Return a row in plain numbers, with the same keys for numbers and for a failure."""
    base: dict[str, Any] = {"model": result.model, "family": result.family}
    own: dict[str, Any] = dict.fromkeys(("input_shape", "params", "macs", "elementwise_ops"))
    if isinstance(result, Swept):
        own = {
            "input_shape": inputs.text(result.given),
            "params": result.params,
            "macs": result.macs,
            "elementwise_ops": result.elementwise_ops,
        }
    strategies = (_strategy(result, name) for name in of_paper())
    reason = result.reason if isinstance(result, NotSwept) else None
    return {
        **base,
        **own,
        **{k: v for each in strategies for k, v in each.items()},
        "error": reason,
    }


def _impossible(found: Sequence[Swept]) -> list[str]:
    """List the networks in which the strategies of the paper are impossible, with the reasons."""
    of_model = {each.model: [each.unavailable.get(name) for name in of_paper()] for each in found}
    reasons = {f"{model}: {reason}" for model, own in of_model.items() for reason in own if reason}
    return ["Not possible:\n" + "\n".join(sorted(reasons))] if reasons else []


def _strategy(result: Swept | NotSwept, name: str) -> dict[str, int | str | None]:
    swept = result if isinstance(result, Swept) else None
    added = swept.added.get(name) if swept else None
    return {
        f"{name}_sites": swept.sites[name] if swept else None,
        f"{name}_added_params": added.params if added else None,
        f"{name}_added_macs": added.macs if added else None,
        f"{name}_added_elementwise_ops": added.elementwise_ops if added else None,
        f"{name}_added_memory_bytes": added.memory_bytes if added else None,
        f"{name}_reason": swept.unavailable.get(name) if swept else None,
    }


def _table(found: Sequence[Swept]) -> Table:
    titles = ["input", "parameters", "MACs"]
    for name in of_paper():
        titles += [f"{name}s", "+ parameters", "+ MACs"]
    columns = [Column("model"), *(Column(title, "right") for title in titles)]
    return Table(columns, [_row(each) for each in found])


def _row(each: Swept) -> list[str]:
    cells = [each.model, inputs.text(each.given), units.count(each.params), units.count(each.macs)]
    for name in of_paper():
        added = each.added.get(name)
        cells.append(str(each.sites[name]))
        if added is None or not each.sites[name]:
            cells += ["-", "-"]
            continue
        cells.append(units.percent(fraction(added.params, each.params)))
        cells.append(units.percent(fraction(added.macs, each.macs)))
    return cells
