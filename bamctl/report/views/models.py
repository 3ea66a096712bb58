"""The list of models as a report."""

from collections.abc import Sequence

from bamctl import units
from bamctl.analysis.catalog import ModelEntry
from bamctl.networks import inputs
from bamctl.report._wording import SCHEMA
from bamctl.report.document import Column, Report, Table


def models_report(entries: Sequence[ModelEntry]) -> Report:
    """Show a row for each model."""
    records = [
        {
            "model": entry.name,
            "family": entry.family,
            "params": entry.params,
            "macs": entry.macs,
            "input_shape": inputs.text(entry.inputs),
            "bottlenecks": entry.num_bottlenecks,
            "blocks": entry.num_blocks,
        }
        for entry in entries
    ]
    return Report(
        heading=f"{len(entries)} models",
        blocks=[
            _table(entries),
            "Parameters and MACs are those that torchvision publishes for the default weights, "
            "with their input; those of detection and optical flow "
            "are for an input that it does not state. "
            "--count traces the networks to count their sites.",
        ],
        data={"schema": SCHEMA, "models": records},
        records=records,
    )


def _table(entries: Sequence[ModelEntry]) -> Table:
    titles = ("parameters", "MACs", "input", "bottlenecks", "blocks")
    columns = [Column("model"), Column("family"), *(Column(title, "right") for title in titles)]
    rows = [
        [
            entry.name,
            entry.family,
            units.count(entry.params),
            units.count(entry.macs),
            inputs.text(entry.inputs),
            "" if entry.num_bottlenecks is None else str(entry.num_bottlenecks),
            "" if entry.num_blocks is None else str(entry.num_blocks),
        ]
        for entry in entries
    ]
    return Table(columns, rows)
